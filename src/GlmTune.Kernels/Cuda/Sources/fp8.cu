// Rounding to e4m3 with one scale a row, alone and at the end of what makes the row. A block takes a row; each thread keeps up to PACKS
// 16-byte pieces of it in registers as the type T holds them, so that nothing is read twice. Piece k of a thread is number
// threadIdx.x + k * blockDim.x.
constexpr float LARGEST = 448.0f, SMALLEST = 1e-30f;

#ifdef EMULATED
using emulator::join_e4m3;
#else
__device__ __forceinline__ u32 join_e4m3(float low, float high) {
    u16 pair; asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low)); return pair;
}
#endif

// Largest over the block, in every thread.
__device__ __forceinline__ float block_max(float value) {
    __shared__ float partial[32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) { value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, offset)); }
    if (lane == 0) { partial[warp] = value; }
    __syncthreads();
    value = lane < (int)(blockDim.x >> 5) ? partial[lane] : 0.0f;
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) { value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, offset)); }
    __syncthreads();
    return value;
}

__device__ __forceinline__ float largest_of(const uint4& raw) {
    Pack v; PackOf<T>::unpack(raw, v.at);
    float largest = 0.0f;
    #pragma unroll
    for (int i = 0; i < VEC; i++) { largest = fmaxf(largest, fabsf(v.at[i])); }
    return largest;
}

// The piece as VEC bytes of e4m3.
__device__ __forceinline__ void store_rounded(unsigned char* to, const uint4& raw, float factor) {
    Pack v; PackOf<T>::unpack(raw, v.at);
    u32 words[VEC / 4];
    #pragma unroll
    for (int w = 0; w < VEC / 4; w++) {
        words[w] = join_e4m3(v.at[4 * w] * factor, v.at[4 * w + 1] * factor) | (join_e4m3(v.at[4 * w + 2] * factor, v.at[4 * w + 3] * factor) << 16);
    }
    if (VEC == 8) {
        uint2 both; both.x = words[0]; both.y = words[VEC / 4 - 1];
        *(uint2*)to = both;
    } else {
        *(u32*)to = words[0];
    }
}

// Writes the row's scale and gives what its numbers are multiplied by.
__device__ __forceinline__ float row_factor(float largest, float* scale) {
    largest = fmaxf(block_max(largest), SMALLEST);
    if (threadIdx.x == 0) { *scale = largest / LARGEST; }
    return LARGEST / largest;
}

extern "C" __global__ void __launch_bounds__(512) round_rows(const T* x, unsigned char* values, float* scales, int width)
{
    u64 row = (u64)blockIdx.x * width;
    int packs = width / VEC;
    uint4 kept[PACKS];
    float largest = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            kept[k] = *(const uint4*)(x + row + pack * VEC);
            largest = fmaxf(largest, largest_of(kept[k]));
        }
    }
    float factor = row_factor(largest, scales + blockIdx.x);
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) { store_rounded(values + row + pack * VEC, kept[k], factor); }
    }
}

// The norm of rms_norm.cu. delta and sum are null for the plain norm; output is null where only the rounded one is wanted.
extern "C" __global__ void __launch_bounds__(512) rms_norm_fp8(
    const T* x, const T* delta, const T* weight, T* sum, T* output, float* inverse_rms, unsigned char* values, float* scales, int width, float epsilon)
{
    u64 row = (u64)blockIdx.x * width;
    int packs = width / VEC;
    uint4 kept[PACKS];
    float squares = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            Pack v = load(x + row + pack * VEC);
            if (delta) {
                Pack added = load(delta + row + pack * VEC);
                #pragma unroll
                for (int i = 0; i < VEC; i++) { v.at[i] = rounded(v.at[i] + added.at[i]); }
                store(sum + row + pack * VEC, v);
            }
            #pragma unroll
            for (int i = 0; i < VEC; i++) { squares += v.at[i] * v.at[i]; }
            kept[k] = PackOf<T>::pack(v.at);
        }
    }
    float inverse = rsqrtf(block_sum(squares) / width + epsilon);
    if (threadIdx.x == 0) { inverse_rms[blockIdx.x] = inverse; }
    float largest = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            Pack v, scale = load(weight + pack * VEC);
            PackOf<T>::unpack(kept[k], v.at);
            #pragma unroll
            for (int i = 0; i < VEC; i++) { v.at[i] = v.at[i] * inverse * scale.at[i]; }
            kept[k] = PackOf<T>::pack(v.at);
            if (output) { *(uint4*)(output + row + pack * VEC) = kept[k]; }
            largest = fmaxf(largest, largest_of(kept[k]));
        }
    }
    float factor = row_factor(largest, scales + blockIdx.x);
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) { store_rounded(values + row + pack * VEC, kept[k], factor); }
    }
}

// The gradient of the norm's input in rms_norm.cu, plus the residual's. The result is wanted as it is, too.
extern "C" __global__ void __launch_bounds__(512) rms_norm_backward_fp8(
    const T* gradient, const T* x, const T* weight, const float* inverse_rms, const T* residual, T* result, unsigned char* values, float* scales,
    int width)
{
    u64 row = (u64)blockIdx.x * width;
    int packs = width / VEC;
    float inverse = inverse_rms[blockIdx.x];
    Pack normalised[PACKS], weighted[PACKS];
    float along = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            normalised[k] = load(x + row + pack * VEC);
            weighted[k] = load(gradient + row + pack * VEC);
            Pack scale = load(weight + pack * VEC);
            #pragma unroll
            for (int i = 0; i < VEC; i++) {
                normalised[k].at[i] *= inverse;
                weighted[k].at[i] *= scale.at[i];
                along += weighted[k].at[i] * normalised[k].at[i];
            }
        }
    }
    along = block_sum(along) / width;
    uint4 kept[PACKS];
    float largest = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            Pack past = load(residual + row + pack * VEC);
            #pragma unroll
            for (int i = 0; i < VEC; i++) { weighted[k].at[i] = (weighted[k].at[i] - normalised[k].at[i] * along) * inverse + past.at[i]; }
            kept[k] = PackOf<T>::pack(weighted[k].at);
            *(uint4*)(result + row + pack * VEC) = kept[k];
            largest = fmaxf(largest, largest_of(kept[k]));
        }
    }
    float factor = row_factor(largest, scales + blockIdx.x);
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) { store_rounded(values + row + pack * VEC, kept[k], factor); }
    }
}

// silu(gate) * up on rows [gate, up] of 2 * width.
extern "C" __global__ void __launch_bounds__(512) swiglu_fp8(const T* gate_up, unsigned char* values, float* scales, int width)
{
    const T* row = gate_up + (u64)blockIdx.x * 2 * width;
    int packs = width / VEC;
    uint4 kept[PACKS];
    float largest = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            Pack gate = load(row + pack * VEC), up = load(row + width + pack * VEC);
            #pragma unroll
            for (int i = 0; i < VEC; i++) { up.at[i] *= gate.at[i] * sigmoid(gate.at[i]); }
            kept[k] = PackOf<T>::pack(up.at);
            largest = fmaxf(largest, largest_of(kept[k]));
        }
    }
    float factor = row_factor(largest, scales + blockIdx.x);
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) { store_rounded(values + (u64)blockIdx.x * width + pack * VEC, kept[k], factor); }
    }
}

// Its gradient, rows [gate, up] of 2 * width.
extern "C" __global__ void __launch_bounds__(512) swiglu_backward_fp8(
    const T* gradient, const T* gate_up, unsigned char* values, float* scales, int width)
{
    const T* row = gate_up + (u64)blockIdx.x * 2 * width;
    const T* outer_row = gradient + (u64)blockIdx.x * width;
    int packs = width / VEC;
    uint4 gates[PACKS], ups[PACKS];
    float largest = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            Pack outer = load(outer_row + pack * VEC), gate = load(row + pack * VEC), up = load(row + width + pack * VEC);
            #pragma unroll
            for (int i = 0; i < VEC; i++) {
                float s = sigmoid(gate.at[i]), silu = gate.at[i] * s;
                gate.at[i] = outer.at[i] * up.at[i] * (s + silu * (1.0f - s));
                up.at[i] = outer.at[i] * silu;
            }
            gates[k] = PackOf<T>::pack(gate.at);
            ups[k] = PackOf<T>::pack(up.at);
            largest = fmaxf(largest, fmaxf(largest_of(gates[k]), largest_of(ups[k])));
        }
    }
    float factor = row_factor(largest, scales + blockIdx.x);
    unsigned char* to = values + (u64)blockIdx.x * 2 * width;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            store_rounded(to + pack * VEC, gates[k], factor);
            store_rounded(to + width + pack * VEC, ups[k], factor);
        }
    }
}
