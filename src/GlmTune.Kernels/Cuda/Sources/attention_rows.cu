// Copies between fused query-key-value rows and the tensors that attention operators take and give. A thread moves one 16-byte piece.

// The sequence that a token is in: starts [sequences + 1] is sorted.
__device__ __forceinline__ int sequence_of(int token, const int* starts, int sequences)
{
    int low = 0, high = sequences;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (starts[middle] <= token) { low = middle; } else { high = middle; }
    }
    return low;
}

// keys and values [tokens + sequences * prefix_length, width]: before each sequence's own rows the shared prefix [2, prefix_length, width].
extern "C" __global__ void __launch_bounds__(256) prepend_prefix(
    const T* fused, const T* prefix, const int* starts, T* keys, T* values, int tokens, int sequences, int prefix_length,
    int fused_width, int key_offset, int width)
{
    int packs = width / VEC;
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    int column = (int)(index % packs) * VEC;
    int row = (int)(index / packs);
    if (row >= tokens + sequences * prefix_length) { return; }
    // Row r of the result lies in the sequence whose start, moved by the prefixes before it, is the last not above r.
    int low = 0, high = sequences;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (starts[middle] + middle * prefix_length <= row) { low = middle; } else { high = middle; }
    }
    int place = row - starts[low] - low * prefix_length;
    const T *key, *value;
    if (place < prefix_length) {
        key = prefix + (u64)place * width + column;
        value = prefix + (u64)(prefix_length + place) * width + column;
    } else {
        key = fused + (u64)(starts[low] + place - prefix_length) * fused_width + key_offset + column;
        value = key + width;
    }
    *(uint4*)(keys + (u64)row * width + column) = *(const uint4*)key;
    *(uint4*)(values + (u64)row * width + column) = *(const uint4*)value;
}

// result [tokens, fused_width] from gradients of queries [tokens, query_width], keys and values [.., width]; their rows for a token are
// moved down by the prefixes of its own and earlier sequences (prefix_length 0: not at all).
extern "C" __global__ void __launch_bounds__(256) assemble_gradient(
    const T* query, const T* key, const T* value, const int* starts, T* result, int tokens, int sequences, int prefix_length,
    int query_width, int width)
{
    int fused_width = query_width + 2 * width;
    int packs = fused_width / VEC;
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    int column = (int)(index % packs) * VEC;
    u64 token = index / packs;
    if (token >= tokens) { return; }
    const T* from;
    if (column < query_width) {
        from = query + token * query_width + column;
    } else {
        u64 row = token + (prefix_length ? (u64)(sequence_of((int)token, starts, sequences) + 1) * prefix_length : 0);
        int offset = column - query_width;
        from = offset < width ? key + row * width + offset : value + row * width + offset - width;
    }
    *(uint4*)(result + token * fused_width + column) = *(const uint4*)from;
}

// prefix_gradient [2, prefix_length, width], float32, += the sums over sequences of the prefix rows' gradients.
extern "C" __global__ void __launch_bounds__(256) add_prefix_gradient(
    const T* key, const T* value, const int* starts, float* prefix_gradient, int sequences, int prefix_length, int width)
{
    int packs = width / VEC;
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    int column = (int)(index % packs) * VEC;
    int place = (int)(index / packs % prefix_length);
    u64 half = index / packs / prefix_length;
    if (half >= 2) { return; }
    const T* from = half ? value : key;
    Pack sum;
    #pragma unroll
    for (int i = 0; i < VEC; i++) { sum.at[i] = 0.0f; }
    for (int s = 0; s < sequences; s++) {
        Pack v = load(from + (u64)(starts[s] + s * prefix_length + place) * width + column);
        #pragma unroll
        for (int i = 0; i < VEC; i++) { sum.at[i] += v.at[i]; }
    }
    float* target = prefix_gradient + (half * prefix_length + place) * width + column;
    #pragma unroll
    for (int i = 0; i < VEC; i++) { target[i] += sum.at[i]; }
}

// Cached keys and values of sequences one after the other, [rows, width], for attention operators that know no blocks. starts [sequences + 1]
// is where each sequence begins there; keys and values are [blocks, 16, width], and tables names the blocks of each slot.
constexpr int BLOCK_TOKENS = 16;

extern "C" __global__ void __launch_bounds__(256) gather_blocks(
    const T* keys, const T* values, const int* tables, const long long* slots, const int* starts, T* gathered_keys, T* gathered_values,
    int rows, int sequences, int table_width, int width)
{
    int packs = width / VEC;
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    int column = (int)(index % packs) * VEC;
    u64 row = index / packs;
    if (row >= rows) { return; }
    int sequence = sequence_of((int)row, starts, sequences), position = (int)row - starts[sequence];
    int block = tables[slots[sequence] * table_width + position / BLOCK_TOKENS];
    u64 from = ((u64)block * BLOCK_TOKENS + position % BLOCK_TOKENS) * width + column, to = row * width + column;
    *(uint4*)(gathered_keys + to) = *(const uint4*)(keys + from);
    *(uint4*)(gathered_values + to) = *(const uint4*)(values + from);
}
