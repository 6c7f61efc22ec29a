// Low-rank adapters of which each row of x has its own: low = s x A', then y = added + low B'. Rows are taken in an order in which those
// of one adapter are neighbours; a tile is up to sixteen of them, (adapter << 32) | (first << 8) | count, with a count of 0 past the last.
// The table has an entry for each adapter: the addresses of A [columns, width], of B and of the scales [columns] in float; the number of
// columns, a multiple of 8; and its parts, each a range of y's columns with its own rows of A. B holds the parts one after another, each
// [rows, rank]. Entry 0 is that of rows without an adapter. Weights, table, order and tiles are read before the previous kernel has ended.
typedef long long i64;
constexpr int ENTRY = 20;
constexpr int PART = 5;
constexpr int STEP = 32;                       // of the inner dimension, that a warp takes at once
constexpr int DOWN_WARPS = 8;
constexpr int AHEAD = 8;                       // steps of a warp, all of which it reads at once
constexpr int UP_WARPS = 4;
constexpr int GROUPS = 4;                      // of 32 outputs, of a warp
constexpr int DEPTH = 2;                       // sixteens of a rank that are read before low is there

struct Tile { const i64* entry; int first, count; };

__device__ __forceinline__ Tile read_tile(const i64* tiles, const i64* table, int index)
{
    i64 word = tiles[index];
    return {table + (word >> 32) * ENTRY, (int)((word >> 8) & 0xffffff), (int)(word & 255)};
}

__device__ __forceinline__ uint4 nothing() { uint4 v; v.x = v.y = v.z = v.w = 0; return v; }

// low [gridDim.z, rows in order, columns] in float: sums over parts of the width. A block takes such a part, a tile, and eight of its
// adapter's columns. What it reads of A is on its way before x is there.
extern "C" __global__ void __launch_bounds__(32 * DOWN_WARPS) mixed_down(
    const T* x, const i64* table, const i64* order, const i64* tiles, float* low, int rows, int width, int columns)
{
    __shared__ float partial[DOWN_WARPS][16][9];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, column0 = blockIdx.x * 8;
    Tile tile = read_tile(tiles, table, blockIdx.y);
    if (tile.count == 0 || column0 >= (int)tile.entry[3]) {
        let_next_start();
        wait_for_previous();                   // or the next kernel would not wait for that either
        return;
    }
    int base = (blockIdx.z * DOWN_WARPS + warp) * (STEP * AHEAD) + 8 * t;
    const T* a = (const T*)tile.entry[0] + (u64)(column0 + g) * width;
    uint4 b[AHEAD];
    #pragma unroll
    for (int u = 0; u < AHEAD; u++) {
        int k = base + STEP * u;
        b[u] = k < width ? load_once(a + k) : nothing();
    }
    float scale = ((const float*)tile.entry[2])[column0 + (threadIdx.x & 7)];
    bool there[2] = {g < tile.count, g + 8 < tile.count};
    const T* inputs[2] = {x + (u64)order[tile.first + (there[0] ? g : 0)] * width, x + (u64)order[tile.first + (there[1] ? g + 8 : 0)] * width};
    let_next_start();
    wait_for_previous();
    float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    #pragma unroll
    for (int u = 0; u < AHEAD; u++) {
        int k = base + STEP * u;
        uint4 x0 = k < width && there[0] ? *(const uint4*)(inputs[0] + k) : nothing();
        uint4 x1 = k < width && there[1] ? *(const uint4*)(inputs[1] + k) : nothing();
        multiply_add<T>(c, x0.x, x1.x, x0.y, x1.y, b[u].x, b[u].y);
        multiply_add<T>(c, x0.z, x1.z, x0.w, x1.w, b[u].z, b[u].w);
    }
    partial[warp][g][2 * t] = c[0];
    partial[warp][g][2 * t + 1] = c[1];
    partial[warp][g + 8][2 * t] = c[2];
    partial[warp][g + 8][2 * t + 1] = c[3];
    __syncthreads();
    int row = threadIdx.x >> 3, column = threadIdx.x & 7;
    if (row < tile.count) {
        float sum = 0.0f;
        #pragma unroll
        for (int w = 0; w < DOWN_WARPS; w++) { sum += partial[w][row][column]; }
        low[((u64)blockIdx.z * rows + tile.first + row) * columns + column0 + column] = sum * scale;
    }
}

struct Part { int first_row, rows, first_column, rank; i64 offset; };

__device__ __forceinline__ Part read_part(const i64* entry, int index)
{
    const i64* words = entry + PART + 3 * index;
    return {(int)words[0], (int)(words[0] >> 32), (int)words[1], (int)(words[1] >> 32), words[2]};
}

// Sixteen of a rank, or eight where no more are left, of the four rows of B that a lane has in a group: it takes four neighbours of
// sixteen, or two of eight, and then the second half is zero.
__device__ __forceinline__ void read_words(uint2 (&words)[4], const T* b, const Part& part, int output0, int k, int g, int t)
{
    int left = part.rank - k;
    #pragma unroll
    for (int j = 0; j < 4; j++) {
        int row = output0 + 8 * (g >> 1) + 2 * j + (g & 1) - part.first_row;
        const T* from = b + part.offset + (u64)row * part.rank + k;
        words[j].x = words[j].y = 0;
        if (row >= 0 && row < part.rows) {
            if (left >= 16) { words[j] = *(const uint2*)(from + 4 * t); } else if (left > 0) { words[j].x = *(const u32*)(from + 2 * t); }
        }
    }
}

// The left side for the same sixteen or eight: rows g and g + 8 of the tile, summed over the parts of the width.
__device__ __forceinline__ void read_low(uint2 (&x)[2], const float* low, u64 stride, int splits, const u64 (&places)[2], const bool (&there)[2], int column, int left, int t)
{
    #pragma unroll
    for (int r = 0; r < 2; r++) {
        float4 sum; sum.x = sum.y = sum.z = sum.w = 0.0f;
        if (there[r]) {
            const float* from = low + places[r] + column;
            for (int s = 0; s < splits; s++) {
                if (left >= 16) {
                    float4 v = *(const float4*)(from + s * stride + 4 * t);
                    sum.x += v.x; sum.y += v.y; sum.z += v.z; sum.w += v.w;
                } else {
                    float2 v = *(const float2*)(from + s * stride + 2 * t);
                    sum.x += v.x; sum.y += v.y;
                }
            }
        }
        x[r].x = join<T>(sum.x, sum.y);
        x[r].y = join<T>(sum.z, sum.w);
    }
}

// y [rows, outputs] = added [outputs] + low B', added null for zeros. A warp takes a tile and GROUPS times 32 of y's columns, each in four
// products of eight: a lane's eight numbers of a row are neighbours if product j has columns 8 (n / 2) + 2 j + n % 2. Of the first part
// that a group meets, B is on its way before low is there.
extern "C" __global__ void __launch_bounds__(32 * UP_WARPS) mixed_up(
    const float* low, const i64* table, const i64* order, const i64* tiles, const T* added, T* y, int rows, int columns, int outputs, int tile_count, int splits)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int output0 = (blockIdx.x * UP_WARPS + warp) * (32 * GROUPS);
    bool waited = false;
    for (int index = blockIdx.y; index < tile_count && output0 < outputs; index += gridDim.y) {
        Tile tile = read_tile(tiles, table, index);
        if (tile.count == 0) { break; }
        const T* b = (const T*)tile.entry[1];
        int parts = (int)tile.entry[4], met[GROUPS];
        uint2 words[GROUPS][DEPTH][4];
        #pragma unroll
        for (int q = 0; q < GROUPS; q++) { met[q] = parts; }
        for (int p = parts - 1; p >= 0; p--) {
            Part part = read_part(tile.entry, p);
            #pragma unroll
            for (int q = 0; q < GROUPS; q++) {
                int first = output0 + 32 * q;
                if (first + 32 <= part.first_row || first >= part.first_row + part.rows) { continue; }
                met[q] = p;
                #pragma unroll
                for (int d = 0; d < DEPTH; d++) { read_words(words[q][d], b, part, first, 16 * d, g, t); }
            }
        }
        bool there[2] = {g < tile.count, g + 8 < tile.count};
        u64 targets[2], places[2];
        #pragma unroll
        for (int r = 0; r < 2; r++) {
            int place = tile.first + (there[r] ? g + 8 * r : 0);
            targets[r] = (u64)order[place] * outputs;
            places[r] = (u64)place * columns;
        }
        u64 stride = (u64)rows * columns;
        if (!waited) {
            let_next_start();
            wait_for_previous();
            waited = true;
        }
        int read = -1;
        uint2 x[DEPTH][2];
        #pragma unroll
        for (int q = 0; q < GROUPS; q++) {
            int first = output0 + 32 * q;
            if (first >= outputs) { break; }
            float c[4][4];
            #pragma unroll
            for (int j = 0; j < 4; j++) { c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0.0f; }
            for (int p = met[q]; p < parts; p++) {
                Part part = read_part(tile.entry, p);
                if (first + 32 <= part.first_row || first >= part.first_row + part.rows) { continue; }
                if (p == met[q]) {
                    if (read != p) {
                        #pragma unroll
                        for (int d = 0; d < DEPTH; d++) {
                            if (16 * d < part.rank) { read_low(x[d], low, stride, splits, places, there, part.first_column + 16 * d, part.rank - 16 * d, t); }
                        }
                        read = p;
                    }
                    #pragma unroll
                    for (int d = 0; d < DEPTH; d++) {
                        if (16 * d >= part.rank) { break; }
                        #pragma unroll
                        for (int j = 0; j < 4; j++) { multiply_add<T>(c[j], x[d][0].x, x[d][1].x, x[d][0].y, x[d][1].y, words[q][d][j].x, words[q][d][j].y); }
                    }
                }
                for (int k = p == met[q] ? 16 * DEPTH : 0; k < part.rank; k += 16) {
                    uint2 more[4], left[2];
                    read_words(more, b, part, first, k, g, t);
                    read_low(left, low, stride, splits, places, there, part.first_column + k, part.rank - k, t);
                    #pragma unroll
                    for (int j = 0; j < 4; j++) { multiply_add<T>(c[j], left[0].x, left[1].x, left[0].y, left[1].y, more[j].x, more[j].y); }
                }
            }
            int output = first + 8 * t;
            if (output < outputs) {
                float start[8];
                PackOf<T>::unpack(added ? *(const uint4*)(added + output) : nothing(), start);
                #pragma unroll
                for (int r = 0; r < 2; r++) {
                    if (!there[r]) { break; }
                    float sums[8];
                    #pragma unroll
                    for (int j = 0; j < 4; j++) {
                        sums[2 * j] = start[2 * j] + c[j][2 * r];
                        sums[2 * j + 1] = start[2 * j + 1] + c[j][2 * r + 1];
                    }
                    *(uint4*)(y + targets[r] + output) = PackOf<T>::pack(sums);
                }
            }
        }
    }
    if (!waited) {
        let_next_start();
        wait_for_previous();
    }
}
