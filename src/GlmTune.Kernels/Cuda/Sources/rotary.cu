// Rotary embedding of neighbouring pairs, in place, on the first rotary features of every query and key head of a fused row. A thread
// takes one 16-byte piece. With a cache (keys not null) rotated keys and untouched values are copied to their place in it as well.

// packs: 16-byte pieces per row that a thread is made for: rotated heads' rotary parts, then, with a cache, what else must be copied.
extern "C" __global__ void __launch_bounds__(256) rotate(
    T* fused, const float* cosine, const float* sine, int tokens, int fused_width, int heads, int head_width, int rotary, float sign)
{
    int packs_per_head = rotary / VEC;
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    int pack = (int)(index % packs_per_head);
    int head = (int)(index / packs_per_head % heads);
    u64 token = index / packs_per_head / heads;
    if (token >= tokens) { return; }
    T* place = fused + token * fused_width + head * head_width + pack * VEC;
    const float* cosines = cosine + token * (rotary / 2) + pack * (VEC / 2);
    const float* sines = sine + token * (rotary / 2) + pack * (VEC / 2);
    Pack v = load(place);
    #pragma unroll
    for (int i = 0; i < VEC / 2; i++) {
        float c = cosines[i], s = sign * sines[i], even = v.at[2 * i], odd = v.at[2 * i + 1];
        v.at[2 * i] = even * c - odd * s;
        v.at[2 * i + 1] = odd * c + even * s;
    }
    store(place, v);
}

// As rotate, over the whole row; keys and values also go to cache [blocks, 16, key_value_width]: to row positions[token] % 16 of the block
// that the table of slots[token] names for it.
constexpr int BLOCK_TOKENS = 16;

extern "C" __global__ void __launch_bounds__(256) rotate_and_cache(
    T* fused, const float* cosine, const float* sine, T* keys, T* values, const int* tables, const long long* slots,
    const long long* positions, int tokens, int fused_width, int query_width, int key_value_width, int head_width, int rotary, int table_width)
{
    wait_for_previous();
    let_next_start();
    int packs = fused_width / VEC;
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    u64 token = index / packs;
    if (token >= tokens) { return; }
    int column = (int)(index % packs) * VEC;
    int feature = column % head_width;
    bool is_query = column < query_width, is_value = column >= query_width + key_value_width;
    bool rotated = !is_value && feature < rotary;
    if (is_query && !rotated) { return; }
    T* place = fused + token * fused_width + column;
    Pack v = load(place);
    if (rotated) {
        const float* cosines = cosine + token * (rotary / 2) + feature / 2;
        const float* sines = sine + token * (rotary / 2) + feature / 2;
        #pragma unroll
        for (int i = 0; i < VEC / 2; i++) {
            float c = cosines[i], s = sines[i], even = v.at[2 * i], odd = v.at[2 * i + 1];
            v.at[2 * i] = even * c - odd * s;
            v.at[2 * i + 1] = odd * c + even * s;
        }
        store(place, v);
    }
    if (!is_query) {
        int offset = column - query_width - (is_value ? key_value_width : 0);
        T* cache = is_value ? values : keys;
        int position = (int)positions[token], block = tables[slots[token] * table_width + position / BLOCK_TOKENS];
        store(cache + ((u64)block * BLOCK_TOKENS + position % BLOCK_TOKENS) * key_value_width + offset, v);
    }
}
