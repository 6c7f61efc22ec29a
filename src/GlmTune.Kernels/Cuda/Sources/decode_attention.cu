// Attention of one new token a sequence to its cached keys and values, which lie in blocks of 16 tokens that a table names for each
// sequence. A thread block takes one sequence, up to 16 query heads that share a key head (the 16 rows of a matrix product) and one part of
// the sequence; its warps take turns at steps of 16 keys, a cache block each. Keys and values go from memory to shared memory by 16-byte
// copies, the next step's while this one is computed; the number of the cache block after it is read meanwhile.
// HEAD_DIM is a multiple of 64.
constexpr int BLOCK_TOKENS = 16;
constexpr int WARPS = 4;
constexpr int PIECES = HEAD_DIM / 8;
constexpr int KEY_CHUNKS = HEAD_DIM / 32;      // 16-byte pieces of a key that a lane takes: numbers t, t + 4, ...
constexpr int VALUE_CHUNKS = HEAD_DIM / 64;    // of a value: numbers g, g + 8, ...
constexpr int MOST_JOINED = 8;                // parts that the block which ends last joins; threads of a row there, 16 rows
constexpr int ROW = HEAD_DIM + 1;              // of sums in shared memory: lanes of a warp meet in other banks

// Pieces of keys and values in shared memory, in an order in which lanes that read together meet other banks: for keys these are
// (g, g + 1) x four pieces, for values four even or odd keys x (g, g + 1).
__device__ __forceinline__ int key_slot(int key, int piece) { return piece ^ ((key & 1) << 2); }
__device__ __forceinline__ int value_slot(int key, int piece) { return piece ^ ((key & 6)); }

// What a warp has on its way, and afterwards what it found.
union Stage {
    struct { uint4 keys[16][PIECES], values[16][PIECES]; };
    float sums[16][ROW];
};

// Keys or values of a step, from the cache block at from: eight neighbouring lanes take a line of 128 bytes, as the caches do. Past the
// last of its filled rows, that one is taken again; its score is hidden.
template <bool KEYS>
__device__ __forceinline__ void copy_step(uint4 (&to)[16][PIECES], const T* from, int filled, u64 row_width, int lane)
{
    constexpr int AT_ONCE = 32 / PIECES;
    int local = lane / PIECES, piece = lane % PIECES;
    const T* place = from + (u64)local * row_width + 8 * piece;
    #pragma unroll
    for (int i = 0; i < 16; i += AT_ONCE) {
        int row = i + local;
        const T* source = row < filled ? place + i * row_width : from + (u64)(filled - 1) * row_width + 8 * piece;
        copy_later(&to[i + local][KEYS ? key_slot(i + local, piece) : value_slot(i + local, piece)], source, true);
    }
}

// Parts of a sequence: as many for each as fill the device if all are alike, and more for a longer one, of which none is longer than
// most_steps steps of 16 keys; the grid has room for most_parts.
__device__ __forceinline__ int parts_of(int steps, int even_parts, int most_steps, int most_parts)
{
    int parts = (steps + most_steps - 1) / most_steps;
    parts = parts > even_parts ? parts : even_parts;
    return parts < most_parts ? parts : most_parts;
}

// Grid: parts of the longest sequence, key heads * tiles of 16 query heads, sequences. Where a sequence has several parts, partial gets for
// each (sequence, key head and tile, part) 16 rows of HEAD_DIM sums, and statistics their maxima and weights. With counters (one zero for
// each sequence, key head and tile; zero again afterwards) the block that ends last joins up to MOST_JOINED parts; join_parts must follow
// for more, and without counters. tables holds for each slot the numbers of its blocks; keys and values are [blocks, 16, heads, HEAD_DIM].
extern "C" __global__ void __launch_bounds__(128, 3) decode_attention(
    const T* fused, const T* keys, const T* values, const int* tables, const long long* slots, const long long* lengths, T* output,
    float* partial, float2* statistics, int* counters, int fused_width, int group, int tiles, int key_value_heads, int table_width,
    int even_parts, int most_steps, float scale)
{
    __shared__ Stage stages[WARPS];
    __shared__ float shared_maxima[WARPS][16], shared_weights[WARPS][16];
    __shared__ int ends_last;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int sequence = blockIdx.z, head = blockIdx.y / tiles, tile = blockIdx.y % tiles;
    int length = (int)lengths[sequence], steps = (length + 15) / 16;
    int parts = parts_of(steps, even_parts, most_steps, gridDim.x), steps_per_part = (steps + parts - 1) / parts;
    if ((int)blockIdx.x >= parts) { return; }
    int begin = blockIdx.x * steps_per_part, end = begin + steps_per_part < steps ? begin + steps_per_part : steps;
    u64 row_width = (u64)key_value_heads * HEAD_DIM, block_width = BLOCK_TOKENS * row_width;
    const int* table = tables + slots[sequence] * table_width;
    keys += (u64)head * HEAD_DIM;
    values += (u64)head * HEAD_DIM;

    Stage& stage = stages[warp];
    // Lengths, slots and tables are written before a pass, so they are read while the previous kernel still runs.
    int step = begin + warp, first_block = step < end ? table[step] : 0, next_block = step + WARPS < end ? table[step + WARPS] : 0;
    wait_for_previous();
    if (step < end) {
        u64 block = first_block * block_width;
        copy_step<true>(stage.keys, keys + block, length - step * 16, row_width, lane);
        end_group();
        copy_step<false>(stage.values, values + block, length - step * 16, row_width, lane);
        end_group();
    }

    // Rows past the group's end repeat its last head; nobody reads their sums.
    const T* query = fused + (u64)sequence * fused_width + (u64)head * group * HEAD_DIM;
    int first_row = tile * 16 + g, second_row = first_row + 8, last_row = group - 1;
    const T* query0 = query + (first_row < last_row ? first_row : last_row) * HEAD_DIM;
    const T* query1 = query + (second_row < last_row ? second_row : last_row) * HEAD_DIM;
    uint4 q0[KEY_CHUNKS], q1[KEY_CHUNKS];
    #pragma unroll
    for (int j = 0; j < KEY_CHUNKS; j++) {
        q0[j] = *(const uint4*)(query0 + 8 * (t + 4 * j));
        q1[j] = *(const uint4*)(query1 + 8 * (t + 4 * j));
    }

    float maximum0 = negative_infinity(), maximum1 = negative_infinity(), weight0 = 0.0f, weight1 = 0.0f;
    float attended[VALUE_CHUNKS][8][4];
    #pragma unroll
    for (int h = 0; h < VALUE_CHUNKS; h++) {
        #pragma unroll
        for (int e = 0; e < 8; e++) {
            #pragma unroll
            for (int i = 0; i < 4; i++) { attended[h][e][i] = 0.0f; }
        }
    }

    for (; step < end; step += WARPS) {
        int key0 = step * 16, next = step + WARPS, block_after = next + WARPS < end ? table[next + WARPS] : 0;
        u64 next_place = next_block * block_width;
        float score[2][4];
        float highest0 = maximum0, highest1 = maximum1;
        wait_for_all_but<1>();                                  // the keys; the values may still be on their way
        __syncwarp();
        #pragma unroll
        for (int n = 0; n < 2; n++) {
            float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            #pragma unroll
            for (int j = 0; j < KEY_CHUNKS; j++) {
                uint4 k = stage.keys[8 * n + g][key_slot(g, t + 4 * j)];
                multiply_add<T>(c, q0[j].x, q1[j].x, q0[j].y, q1[j].y, k.x, k.y);
                multiply_add<T>(c, q0[j].z, q1[j].z, q0[j].w, q1[j].w, k.z, k.w);
            }
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                bool seen = key0 + 8 * n + 2 * t + (i & 1) < length;
                score[n][i] = seen ? c[i] * scale : negative_infinity();
            }
            highest0 = fmaxf(highest0, fmaxf(score[n][0], score[n][1]));
            highest1 = fmaxf(highest1, fmaxf(score[n][2], score[n][3]));
        }
        __syncwarp();                                           // every lane has read the keys
        if (next < end) { copy_step<true>(stage.keys, keys + next_place, length - next * 16, row_width, lane); }
        end_group();
        #pragma unroll
        for (int offset = 1; offset < 4; offset <<= 1) {       // the four lanes of a row
            highest0 = fmaxf(highest0, __shfl_xor_sync(ALL_LANES, highest0, offset));
            highest1 = fmaxf(highest1, __shfl_xor_sync(ALL_LANES, highest1, offset));
        }
        float shrink0 = __expf(maximum0 - highest0), shrink1 = __expf(maximum1 - highest1);
        if (__any_sync(ALL_LANES, highest0 > maximum0 || highest1 > maximum1)) {     // seldom, once a few keys have been seen
            weight0 *= shrink0;
            weight1 *= shrink1;
            #pragma unroll
            for (int h = 0; h < VALUE_CHUNKS; h++) {
                #pragma unroll
                for (int e = 0; e < 8; e++) {
                    attended[h][e][0] *= shrink0; attended[h][e][1] *= shrink0;
                    attended[h][e][2] *= shrink1; attended[h][e][3] *= shrink1;
                }
            }
        }
        maximum0 = highest0;
        maximum1 = highest1;
        #pragma unroll
        for (int n = 0; n < 2; n++) {
            score[n][0] = __expf(score[n][0] - maximum0);
            score[n][1] = __expf(score[n][1] - maximum0);
            score[n][2] = __expf(score[n][2] - maximum1);
            score[n][3] = __expf(score[n][3] - maximum1);
            weight0 += score[n][0] + score[n][1];
            weight1 += score[n][2] + score[n][3];
        }
        u32 p0 = join<T>(score[0][0], score[0][1]), p1 = join<T>(score[0][2], score[0][3]);
        u32 p2 = join<T>(score[1][0], score[1][1]), p3 = join<T>(score[1][2], score[1][3]);
        wait_for_all_but<1>();                                  // the values; the next keys may still be on their way
        __syncwarp();
        #pragma unroll
        for (int h = 0; h < VALUE_CHUNKS; h++) {
            uint4 v[4];
            #pragma unroll
            for (int r = 0; r < 4; r++) {
                int key = 2 * t + (r & 1) + 8 * (r >> 1);
                v[r] = stage.values[key][value_slot(key, g + 8 * h)];
            }
            #pragma unroll
            for (int e = 0; e < 8; e++) {
                // Halves of two keys' words, side by side: features e of keys 2t and 2t + 1, then of 2t + 8 and 2t + 9.
                u32 half = e & 1 ? 0x7632u : 0x5410u;
                u32 b0 = __byte_perm(word(v[0], e / 2), word(v[1], e / 2), half);
                u32 b1 = __byte_perm(word(v[2], e / 2), word(v[3], e / 2), half);
                multiply_add<T>(attended[h][e], p0, p1, p2, p3, b0, b1);
            }
        }
        __syncwarp();                                           // every lane has read the values
        if (next < end) { copy_step<false>(stage.values, values + next_place, length - next * 16, row_width, lane); }
        end_group();
        next_block = block_after;
    }
    let_next_start();
    __syncwarp();                                               // every lane has read its pieces: sums may take their place

    #pragma unroll
    for (int offset = 1; offset < 4; offset <<= 1) {
        weight0 += __shfl_xor_sync(ALL_LANES, weight0, offset);
        weight1 += __shfl_xor_sync(ALL_LANES, weight1, offset);
    }
    if (t == 0) {
        shared_maxima[warp][g] = maximum0;
        shared_maxima[warp][g + 8] = maximum1;
        shared_weights[warp][g] = weight0;
        shared_weights[warp][g + 8] = weight1;
    }
    #pragma unroll
    for (int h = 0; h < VALUE_CHUNKS; h++) {
        #pragma unroll
        for (int e = 0; e < 8; e++) {
            int feature = 8 * (2 * t + 8 * h) + e;              // column 2t of the product; column 2t + 1 is the next piece
            stage.sums[g][feature] = attended[h][e][0];
            stage.sums[g][feature + 8] = attended[h][e][1];
            stage.sums[g + 8][feature] = attended[h][e][2];
            stage.sums[g + 8][feature + 8] = attended[h][e][3];
        }
    }
    __syncthreads();
    u64 unit = (u64)sequence * gridDim.y + blockIdx.y, first_part = unit * gridDim.x;
    u64 query_heads = (u64)key_value_heads * group;
    T* results = output + ((u64)sequence * query_heads + (u64)head * group + tile * 16) * HEAD_DIM;
    int rows = group - tile * 16 < 16 ? group - tile * 16 : 16;
    for (int i = threadIdx.x; i < rows * HEAD_DIM; i += WARPS * 32) {
        int row = i / HEAD_DIM, feature = i % HEAD_DIM;
        float highest = negative_infinity(), weight = 0.0f, sum = 0.0f;
        #pragma unroll
        for (int w = 0; w < WARPS; w++) { highest = fmaxf(highest, shared_maxima[w][row]); }
        #pragma unroll
        for (int w = 0; w < WARPS; w++) {
            if (shared_maxima[w][row] == negative_infinity()) { continue; }     // a warp without a step
            float factor = __expf(shared_maxima[w][row] - highest);
            weight += shared_weights[w][row] * factor;
            sum += stages[w].sums[row][feature] * factor;
        }
        if (parts == 1) {
            results[i] = narrow<T>(sum / weight);
        } else {
            partial[(first_part + blockIdx.x) * 16 * HEAD_DIM + i] = sum;
            if (feature == 0) { statistics[(first_part + blockIdx.x) * 16 + row] = float2{highest, weight}; }
        }
    }
    if (parts == 1 || parts > MOST_JOINED || !counters) { return; }

    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) { ends_last = atomicAdd(counters + unit, 1) == parts - 1; }
    __syncthreads();
    if (!ends_last) { return; }
    __threadfence();
    if (threadIdx.x == 0) { counters[unit] = 0; }
    // Factors of each part's rows, then their sums: few trips to memory, each of many independent reads.
    float* factors = &stages[0].sums[0][0];                     // [row][part]
    {
        int row = threadIdx.x / MOST_JOINED, part = threadIdx.x % MOST_JOINED;
        float2 mine = {negative_infinity(), 0.0f};
        if (part < parts && row < rows) { mine = __ldcg(statistics + (first_part + part) * 16 + row); }
        float highest = mine.x;
        #pragma unroll
        for (int offset = 1; offset < MOST_JOINED; offset <<= 1) { highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, offset)); }
        float factor = mine.x == negative_infinity() ? 0.0f : __expf(mine.x - highest), weight = mine.y * factor;
        #pragma unroll
        for (int offset = 1; offset < MOST_JOINED; offset <<= 1) { weight += __shfl_xor_sync(ALL_LANES, weight, offset); }
        factors[threadIdx.x] = factor / weight;
    }
    __syncthreads();
    const float4* mine = (const float4*)(partial + first_part * 16 * HEAD_DIM);
    #pragma unroll
    for (int round = 0; round < 16 * HEAD_DIM / 4 / (WARPS * 32); round++) {
        int i = round * WARPS * 32 + threadIdx.x, row = i * 4 / HEAD_DIM;
        if (row >= rows) { continue; }
        float4 sum = {0.0f, 0.0f, 0.0f, 0.0f};
        #pragma unroll
        for (int part = 0; part < MOST_JOINED; part++) {
            if (part < parts) {
                float4 v = __ldcg(mine + part * (16 * HEAD_DIM / 4) + i);
                float factor = factors[row * MOST_JOINED + part];
                sum.x += v.x * factor; sum.y += v.y * factor; sum.z += v.z * factor; sum.w += v.w * factor;
            }
        }
        store4(results + 4 * i, sum);
    }
}

// Joins the parts that decode_attention left. Grid: query heads, sequences. Each of a block's LANES groups of HEAD_DIM threads, one a feature,
// takes every LANES-th part.
constexpr int LANES = 4;
constexpr int MOST_PARTS = 256;

extern "C" __global__ void __launch_bounds__(LANES * HEAD_DIM) join_parts(
    const float* partial, const float2* statistics, const long long* lengths, T* output, int room, int group, int tiles, int key_value_heads,
    int even_parts, int most_steps, int already_joined)
{
    wait_for_previous();
    __shared__ float maxima[MOST_PARTS], weights[MOST_PARTS], sums[LANES][HEAD_DIM];
    int query_head = blockIdx.x, sequence = blockIdx.y, head = query_head / group, row = query_head % group;
    int parts = parts_of(((int)lengths[sequence] + 15) / 16, even_parts, most_steps, room);
    if (parts <= already_joined) { return; }
    u64 first_part = ((u64)sequence * key_value_heads * tiles + head * tiles + row / 16) * room;
    const float* first = partial + (first_part * 16 + row % 16) * HEAD_DIM;
    for (int part = threadIdx.x; part < parts; part += LANES * HEAD_DIM) {
        float2 mine = statistics[(first_part + part) * 16 + row % 16];
        maxima[part] = mine.x;
        weights[part] = mine.y;
    }
    __syncthreads();
    float highest = negative_infinity(), weight = 0.0f, sum = 0.0f;
    for (int part = 0; part < parts; part++) { highest = fmaxf(highest, maxima[part]); }
    for (int part = 0; part < parts; part++) { weight += maxima[part] == negative_infinity() ? 0.0f : weights[part] * __expf(maxima[part] - highest); }
    int feature = threadIdx.x % HEAD_DIM, lane = threadIdx.x / HEAD_DIM;
    #pragma unroll 8
    for (int part = lane; part < parts; part += LANES) {
        float factor = maxima[part] == negative_infinity() ? 0.0f : __expf(maxima[part] - highest);
        sum += first[(u64)part * 16 * HEAD_DIM + feature] * factor;
    }
    sums[lane][feature] = sum;
    let_next_start();
    __syncthreads();
    if (lane == 0) {
        for (int l = 1; l < LANES; l++) { sum += sums[l][feature]; }
        output[((u64)sequence * gridDim.x + query_head) * HEAD_DIM + feature] = narrow<T>(sum / weight);
    }
}
