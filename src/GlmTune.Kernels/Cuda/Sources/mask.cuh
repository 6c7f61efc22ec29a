// Random words that follow from an element's index and a key, as PositionHash defines them, so that a recomputation draws the same.
// Kernels take the key by value, or from memory where recorded work finds another at each replay.
__device__ __forceinline__ u32 mixed(u32 h)
{
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    return h ^ (h >> 16);
}
__device__ __forceinline__ u32 random_word(u32 index, u32 key) { return mixed(index * 0x9E3779B9u + key); }

// The mask of DropoutMask.
__device__ __forceinline__ bool kept(u32 index, u32 key, u32 threshold) { return random_word(index, key) >= threshold; }

// Stochastic rounding to bfloat16 by 16 random bits: up with a probability equal to the part that is cut off.
__device__ __forceinline__ u32 rounded_up_or_down(float x, u32 random) { return (__float_as_uint(x) + (random & 0xffffu)) >> 16; }
