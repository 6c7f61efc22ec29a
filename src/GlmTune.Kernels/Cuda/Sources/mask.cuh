// The mask of DropoutMask: a hash of the element's index, so that a recomputation draws the same. Kernels take the key by value, or
// from memory where recorded work finds another at each replay.
__device__ __forceinline__ bool kept(u32 index, u32 key, u32 threshold)
{
    u32 h = index * 0x9E3779B9u + key;
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    return (h ^ (h >> 16)) >= threshold;
}
