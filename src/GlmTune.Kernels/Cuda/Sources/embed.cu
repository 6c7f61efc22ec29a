// What decoding begins with: each new token's row of the embedding table, and its place's rows of the tables of angles. One block a token.
extern "C" __global__ void __launch_bounds__(256) embed(
    const long long* ids, const long long* positions, const T* table, const float* cosines, const float* sines,
    T* hidden, float* cosine, float* sine, int width, int half)
{
    u64 token = blockIdx.x;
    const T* row = table + (u64)ids[token] * width;
    T* result = hidden + token * width;
    for (int column = threadIdx.x * VEC; column < width; column += blockDim.x * VEC) { *(uint4*)(result + column) = *(const uint4*)(row + column); }
    u64 from = (u64)positions[token] * half, to = token * half;
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        cosine[to + i] = cosines[from + i];
        sine[to + i] = sines[from + i];
    }
}

// Rows of a small table. One block a row.
extern "C" __global__ void __launch_bounds__(256) select_rows(const float* table, const long long* index, float* result, int width)
{
    u64 from = (u64)index[blockIdx.x] * width, to = (u64)blockIdx.x * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) { result[to + i] = table[from + i]; }
}
