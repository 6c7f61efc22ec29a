// The largest of the first count numbers of each row: its index (the lowest of equals), and after all indices the
// numbers themselves. NaN counts as the largest, so that a row that holds one cannot pass for a sound one.
// One block a row; gridDim.x rows.
__device__ __forceinline__ void take_larger(float& value, int& index, float other, int other_index)
{
    bool nan = value != value;
    bool other_nan = other != other;
    bool larger = other_nan ? !nan : other > value;
    bool equal = other_nan ? nan : other == value;
    if (larger || (equal && other_index < index)) { value = other; index = other_index; }
}

extern "C" __global__ void __launch_bounds__(1024) argmax(const T* logits, double* result, int stride, int count)
{
    wait_for_previous();
    let_next_start();
    const T* row = logits + (u64)blockIdx.x * stride;
    float value = negative_infinity();
    int index = 0x7fffffff;
    int packs = stride % VEC == 0 ? count / VEC : 0;      // unaligned rows are read one by one
    for (int pack = threadIdx.x; pack < packs; pack += blockDim.x) {
        Pack v = load(row + pack * VEC);
        #pragma unroll
        for (int i = 0; i < VEC; i++) { take_larger(value, index, v.at[i], pack * VEC + i); }
    }
    for (int i = packs * VEC + threadIdx.x; i < count; i += blockDim.x) { take_larger(value, index, widen(row[i]), i); }
    __shared__ float values[32];
    __shared__ int indices[32];
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        float other = __shfl_xor_sync(ALL_LANES, value, offset);
        int other_index = __shfl_xor_sync(ALL_LANES, index, offset);
        take_larger(value, index, other, other_index);
    }
    if ((threadIdx.x & 31) == 0) { values[threadIdx.x >> 5] = value; indices[threadIdx.x >> 5] = index; }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < (int)(blockDim.x >> 5); i++) { take_larger(value, index, values[i], indices[i]); }
        result[blockIdx.x] = index;
        result[gridDim.x + blockIdx.x] = value;
    }
}
