// AdamW with state of fewer bytes, over a flat run. T is the type of gradients and weights: in bf16 the weights are the only copy, and
// are rounded stochastically. See adamw.cu for the factors.
struct Step { float beta1, beta2, epsilon, shrink, rate, inverse_correction2; };

constexpr u32 SECOND_STREAM = 0x5BD1E995u;      // a second random word for the same element

__device__ __forceinline__ void update(float& weight, float gradient, float& first, float& second, const Step& s)
{
    first = s.beta1 * first + (1.0f - s.beta1) * gradient;
    second = s.beta2 * second + (1.0f - s.beta2) * gradient * gradient;
    weight = weight * s.shrink - s.rate * (first / (sqrtf(second * s.inverse_correction2) + s.epsilon));
}

// Eight neighbours, of which `count` exist.
__device__ __forceinline__ void read_vector(const float* p, float* at)
{
    *(float4*)at = *(const float4*)p;
    *(float4*)(at + 4) = *(const float4*)(p + 4);
}
__device__ __forceinline__ void read_vector(const bf16* p, float* at) { PackOf<bf16>::unpack(*(const uint4*)p, at); }
template <class S> __device__ __forceinline__ void read8(const S* p, float* at, int count, bool vector)
{
    if (vector && count == 8) { read_vector(p, at); return; }
    #pragma unroll
    for (int i = 0; i < 8; i++) { at[i] = i < count ? widen(p[i]) : 0.0f; }
}

// Written as it is, or rounded by the low or high half of each random word.
template <int SHIFT> __device__ __forceinline__ void write8(float* p, const float* at, const u32*, int count, bool vector)
{
    if (vector && count == 8) {
        *(float4*)p = *(const float4*)at;
        *(float4*)(p + 4) = *(const float4*)(at + 4);
        return;
    }
    for (int i = 0; i < count; i++) { p[i] = at[i]; }
}
template <int SHIFT> __device__ __forceinline__ void write8(bf16* p, const float* at, const u32* random, int count, bool vector)
{
    u32 bits[8];
    #pragma unroll
    for (int i = 0; i < 8; i++) { bits[i] = rounded_up_or_down(at[i], random[i] >> SHIFT); }
    if (vector && count == 8) {
        uint4 raw;
        raw.x = bits[0] | (bits[1] << 16); raw.y = bits[2] | (bits[3] << 16);
        raw.z = bits[4] | (bits[5] << 16); raw.w = bits[6] | (bits[7] << 16);
        *(uint4*)p = raw;
        return;
    }
    for (int i = 0; i < count; i++) { p[i].bits = (u16)bits[i]; }
}

// COMPUTE is the type of the moments. `start` is the place of the first element in the whole run, of which this may be a slice; the
// key of a run follows from that of the step and its own `salt`. A thread takes eight elements.
extern "C" __global__ void __launch_bounds__(256) compact_adamw(
    T* weights, const T* gradient, COMPUTE* first, COMPUTE* second, const float* gradient_scale, u64 count, int vector, u32 start,
    const u32* stored_key, u32 key, u32 salt, float beta1, float beta2, float epsilon, const float* stored, float shrink, float rate,
    float inverse_correction2)
{
    float scale = *gradient_scale;
    u64 from = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (from >= count) { return; }
    Step s = {beta1, beta2, epsilon, stored ? stored[0] : shrink, stored ? stored[1] : rate, stored ? stored[2] : inverse_correction2};
    key = random_word(salt, stored_key ? *stored_key : key);
    int here = count - from < 8 ? (int)(count - from) : 8;
    alignas(16) float w[8], m[8], v[8], g[8];
    u32 random[8];
    read8(weights + from, w, here, vector);
    read8(gradient + from, g, here, vector);
    read8(first + from, m, here, vector);
    read8(second + from, v, here, vector);
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        update(w[i], g[i] * scale, m[i], v[i], s);
        random[i] = random_word(start + (u32)from + i, key);
    }
    write8<0>(weights + from, w, random, here, vector);
    write8<16>(first + from, m, random, here, vector);
    if (sizeof(COMPUTE) == 2) {
        #pragma unroll
        for (int i = 0; i < 8; i++) { random[i] = random_word(start + (u32)from + i, key ^ SECOND_STREAM); }
    }
    write8<0>(second + from, v, random, here, vector);
}

// Number of the boundaries below x, which is the nearest code's: 0 to 255.
__device__ __forceinline__ int code_of(float x, const float* boundaries)
{
    int code = 0;
    #pragma unroll
    for (int step = 128; step > 0; step >>= 1) { code += x > boundaries[code + step - 1] ? step : 0; }
    return code;
}

// Moments as one-byte codes: the value of a code times the largest magnitude of its block of 256, BlockCodes says how. codes: the values of
// the signed and of the unsigned codes, ascending, [2, 256]. A warp takes a block.
extern "C" __global__ void __launch_bounds__(256) coded_adamw(
    T* weights, const T* gradient, unsigned char* first, unsigned char* second, float* first_largest, float* second_largest,
    const float* codes, const float* gradient_scale, u64 count, int vector, u32 start, const u32* stored_key, u32 key, u32 salt,
    float beta1, float beta2, float epsilon, const float* stored, float shrink, float rate, float inverse_correction2)
{
    __shared__ float values[512], boundaries[512];
    for (int i = threadIdx.x; i < 512; i += blockDim.x) {
        values[i] = codes[i];
        boundaries[i] = (i & 255) == 255 ? 0.0f : 0.5f * (codes[i] + codes[i + 1]);
    }
    __syncthreads();
    float scale = *gradient_scale;
    int lane = threadIdx.x & 31;
    u64 block = (u64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
    if (block * 256 >= count) { return; }
    Step s = {beta1, beta2, epsilon, stored ? stored[0] : shrink, stored ? stored[1] : rate, stored ? stored[2] : inverse_correction2};
    key = random_word(salt, stored_key ? *stored_key : key);
    u64 from = block * 256 + lane * 8;
    int here = from >= count ? 0 : count - from < 8 ? (int)(count - from) : 8;
    alignas(16) float w[8], m[8], v[8], g[8];
    alignas(8) unsigned char m_codes[8], v_codes[8];
    u32 random[8];
    read8(weights + from, w, here, vector);
    read8(gradient + from, g, here, vector);
    if (vector && here == 8) {
        *(uint2*)m_codes = *(const uint2*)(first + from);
        *(uint2*)v_codes = *(const uint2*)(second + from);
    } else {
        for (int i = 0; i < 8; i++) { m_codes[i] = i < here ? first[from + i] : 0; v_codes[i] = i < here ? second[from + i] : 0; }
    }
    float m_largest = first_largest[block], v_largest = second_largest[block], m_most = 0.0f, v_most = 0.0f;
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        m[i] = values[m_codes[i]] * m_largest;
        v[i] = values[256 + v_codes[i]] * v_largest;
        if (i < here) {
            update(w[i], g[i] * scale, m[i], v[i], s);
            m_most = fmaxf(m_most, fabsf(m[i]));
            v_most = fmaxf(v_most, v[i]);
        }
        random[i] = random_word(start + (u32)from + i, key);
    }
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        m_most = fmaxf(m_most, __shfl_xor_sync(ALL_LANES, m_most, offset));
        v_most = fmaxf(v_most, __shfl_xor_sync(ALL_LANES, v_most, offset));
    }
    write8<0>(weights + from, w, random, here, vector);
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        m_codes[i] = (unsigned char)code_of(m_most > 0.0f ? m[i] / m_most : 0.0f, boundaries);
        int code = code_of(v_most > 0.0f ? v[i] / v_most : 0.0f, boundaries + 256);
        v_codes[i] = (unsigned char)(v[i] > 0.0f && code == 0 ? 1 : code);      // never rounded to nothing, by whose root a step is divided
    }
    if (vector && here == 8) {
        *(uint2*)(first + from) = *(const uint2*)m_codes;
        *(uint2*)(second + from) = *(const uint2*)v_codes;
    } else {
        for (int i = 0; i < here; i++) { first[from + i] = m_codes[i]; second[from + i] = v_codes[i]; }
    }
    if (lane == 0) { first_largest[block] = m_most; second_largest[block] = v_most; }
}
