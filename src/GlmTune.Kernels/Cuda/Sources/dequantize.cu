// Frozen weights from 8 and 4 bits to the type T, as fast as memory takes them: every thread has PIECES reads on their way before it needs
// the first, and a warp writes whole lines.
constexpr int PIECES = 4;

// A warp takes 256 * PIECES neighbours, of whose blocks each lane finds the scale of one. A lane takes eight neighbours from a word of codes
// at a time, and finds their values in a table of which every bank has its own copy.
extern "C" __global__ void __launch_bounds__(256) dequantize_nf4(
    const u32* codes, const unsigned char* scale_codes, const float* map, const float* spread, const float* mean, T* output, u64 count)
{
    __shared__ float table[16][32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    for (int i = threadIdx.x; i < 16 * 32; i += blockDim.x) { table[i >> 5][i & 31] = QUANTILES[i >> 5]; }
    Scales scales = {scale_codes, map, spread, mean};
    u64 first = ((u64)blockIdx.x * (blockDim.x >> 5) + warp) * (PIECES * 256);
    u32 words[PIECES];
    #pragma unroll
    for (int p = 0; p < PIECES; p++) {
        u64 at = first + p * 256 + lane * 8;
        words[p] = at < count ? codes[at >> 3] : 0;
    }
    u64 block = first / BLOCK + lane;
    float scale = lane < 4 * PIECES && block < count / BLOCK ? scales.of(block) : 0.0f;
    __syncthreads();
    #pragma unroll
    for (int p = 0; p < PIECES; p++) {
        float factor = __shfl_sync(ALL_LANES, scale, 4 * p + (lane >> 3));
        u64 at = first + p * 256 + lane * 8;
        float values[8];
        #pragma unroll
        for (int i = 0; i < 8; i++) {
            int code = (words[p] >> (i ^ 1) * 4) & 15;
            values[i] = table[code][lane] * factor;
        }
        if (at < count) {
            #pragma unroll
            for (int i = 0; i < 8 / VEC; i++) { *(uint4*)(output + at + i * VEC) = PackOf<T>::pack(values + i * VEC); }
        }
    }
}

// A byte of a word as an integer, and as a number of e4m3: its exponent and fraction in a float's place, and what is missing in the exponent.
struct Int8 {
    static __device__ __forceinline__ float number(u32 word, int i) { return (float)((int)(word << (24 - 8 * i)) >> 24); }
};
struct Fp8 {
    static __device__ __forceinline__ float number(u32 word, int i) {
        u32 byte = word >> 8 * i;
        return __uint_as_float((byte & 0x80) << 24 | (byte & 0x7f) << 20) * __uint_as_float(0x7b800000u);
    }
};

// One block a row; the row's scale is its own.
template <class Type> __device__ __forceinline__ void dequantize_row(const uint2* values, const float* scales, T* output, int width)
{
    u64 row = blockIdx.x;
    float scale = scales[row];
    int pieces = width / 8;
    const uint2* from = values + row * pieces;
    T* to = output + row * width;
    for (int first = threadIdx.x; first < pieces; first += PIECES * blockDim.x) {
        uint2 words[PIECES];
        #pragma unroll
        for (int p = 0; p < PIECES; p++) {
            int piece = first + p * blockDim.x;
            if (piece < pieces) { words[p] = from[piece]; }
        }
        #pragma unroll
        for (int p = 0; p < PIECES; p++) {
            int piece = first + p * blockDim.x;
            if (piece < pieces) {
                float numbers[8];
                #pragma unroll
                for (int i = 0; i < 8; i++) { numbers[i] = Type::number(i < 4 ? words[p].x : words[p].y, i & 3) * scale; }
                #pragma unroll
                for (int i = 0; i < 8 / VEC; i++) { *(uint4*)(to + piece * 8 + i * VEC) = PackOf<T>::pack(numbers + i * VEC); }
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) dequantize_int8(const uint2* values, const float* scales, T* output, int width)
{
    dequantize_row<Int8>(values, scales, output, width);
}

extern "C" __global__ void __launch_bounds__(256) dequantize_fp8(const uint2* values, const float* scales, T* output, int width)
{
    dequantize_row<Fp8>(values, scales, output, width);
}
