// Shared by every kernel source, which follows this text in the same compilation. No headers are needed: NVRTC knows the vector
// types and intrinsics by itself. SCALAR (bf16, f16 or float) is the element type of the tensors; arithmetic is float32.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };

typedef SCALAR T;
constexpr int VEC = 16 / sizeof(T);     // elements of one 16-byte access
constexpr u32 ALL_LANES = 0xffffffffu;

#ifdef EMULATED                          // conversions and matrix instructions come from the emulator
using emulator::join_bf16; using emulator::join_f16;
__device__ __forceinline__ float widen(f16 x) { return emulator::widen_f16(x); }
#else
__device__ __forceinline__ float widen(f16 x) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y; }
__device__ __forceinline__ u32 join_bf16(float low, float high) {
    u32 pair; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low)); return pair;
}
__device__ __forceinline__ u32 join_f16(float low, float high) {
    u32 pair; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low)); return pair;
}
#endif

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

// Two numbers, rounded to the type, in one word: the first in the low half.
template <class S> __device__ __forceinline__ u32 join(float low, float high);
template <> __device__ __forceinline__ u32 join<bf16>(float low, float high) { return join_bf16(low, high); }
template <> __device__ __forceinline__ u32 join<f16>(float low, float high) { return join_f16(low, high); }

template <class S> __device__ __forceinline__ S narrow(float x) { S y; y.bits = (u16)join<S>(x, 0.0f); return y; }
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }

template <class S> __device__ __forceinline__ float low_half(u32 pair);
template <> __device__ __forceinline__ float low_half<bf16>(u32 pair) { return __uint_as_float(pair << 16); }
template <> __device__ __forceinline__ float low_half<f16>(u32 pair) { f16 x; x.bits = (u16)pair; return widen(x); }
template <class S> __device__ __forceinline__ float high_half(u32 pair);
template <> __device__ __forceinline__ float high_half<bf16>(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }
template <> __device__ __forceinline__ float high_half<f16>(u32 pair) { f16 x; x.bits = (u16)(pair >> 16); return widen(x); }

// Four neighbours of any type.
__device__ __forceinline__ float4 load4(const float* p) { return *(const float4*)p; }
template <class S> __device__ __forceinline__ float4 load4(const S* p) {
    uint2 raw = *(const uint2*)p;
    float4 v; v.x = low_half<S>(raw.x); v.y = high_half<S>(raw.x); v.z = low_half<S>(raw.y); v.w = high_half<S>(raw.y);
    return v;
}
__device__ __forceinline__ void store4(float* p, float4 v) { *(float4*)p = v; }
template <class S> __device__ __forceinline__ void store4(S* p, float4 v) {
    uint2 raw; raw.x = join<S>(v.x, v.y); raw.y = join<S>(v.z, v.w);
    *(uint2*)p = raw;
}

// One 16-byte access, widened.
struct Pack { float at[VEC]; };

template <class S> struct PackOf {
    static __device__ __forceinline__ void unpack(uint4 raw, float* at) {
        u32 words[4] = {raw.x, raw.y, raw.z, raw.w};
        #pragma unroll
        for (int i = 0; i < 4; i++) { at[2 * i] = low_half<S>(words[i]); at[2 * i + 1] = high_half<S>(words[i]); }
    }
    static __device__ __forceinline__ uint4 pack(const float* at) {
        uint4 raw; raw.x = join<S>(at[0], at[1]); raw.y = join<S>(at[2], at[3]);
        raw.z = join<S>(at[4], at[5]); raw.w = join<S>(at[6], at[7]);
        return raw;
    }
};
template <> struct PackOf<float> {
    static __device__ __forceinline__ void unpack(uint4 raw, float* at) {
        at[0] = __uint_as_float(raw.x); at[1] = __uint_as_float(raw.y); at[2] = __uint_as_float(raw.z); at[3] = __uint_as_float(raw.w);
    }
    static __device__ __forceinline__ uint4 pack(const float* at) {
        uint4 raw; raw.x = __float_as_uint(at[0]); raw.y = __float_as_uint(at[1]);
        raw.z = __float_as_uint(at[2]); raw.w = __float_as_uint(at[3]);
        return raw;
    }
};

__device__ __forceinline__ Pack load(const T* p) { Pack v; PackOf<T>::unpack(*(const uint4*)p, v.at); return v; }
__device__ __forceinline__ void store(T* p, const Pack& v) { *(uint4*)p = PackOf<T>::pack(v.at); }

// As the type would hold it.
__device__ __forceinline__ float rounded(float x) { return widen(narrow<T>(x)); }

// A kernel launched to overlap starts while the one before it still runs. Until wait_for_previous it may read weights only, which no
// kernel writes between two passes, and the numbers that a pass begins with, which kernels write only before its first, and must write nothing. let_next_start allows the same to the next one, and stands where little is
// left to do: blocks of the next kernel would crowd onto the multiprocessors that have room.
#if !defined(EMULATED) && __CUDA_ARCH__ >= 900
__device__ __forceinline__ void let_next_start() { asm volatile("griddepcontrol.launch_dependents;"); }
__device__ __forceinline__ void wait_for_previous() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#else
__device__ __forceinline__ void let_next_start() {}
__device__ __forceinline__ void wait_for_previous() {}
#endif

__device__ __forceinline__ float negative_infinity() { return __uint_as_float(0xff800000u); }
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

__device__ __forceinline__ float warp_sum(float value) {
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) { value += __shfl_xor_sync(ALL_LANES, value, offset); }
    return value;
}

// Sum over the block, in every thread. The block has whole warps, 32 at most.
__device__ __forceinline__ float block_sum(float value) {
    __shared__ float partial[32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    value = warp_sum(value);
    if (lane == 0) { partial[warp] = value; }
    __syncthreads();
    value = warp_sum(lane < (int)(blockDim.x >> 5) ? partial[lane] : 0.0f);
    __syncthreads();                     // partial may be written again now
    return value;
}
