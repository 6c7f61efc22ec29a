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
constexpr int PAIRS = 2;                       // of outputs, of a thread
constexpr int WARP_OUTPUTS = 64 * PAIRS;
constexpr int EARLY = 2;                       // eights of a rank that are read before low is there
constexpr int FEW = 4;                         // rows of a tile up to which sums are made without the matrix units
constexpr int FEW_COLUMNS = 512;               // columns for which there is room then

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

// low summed over the parts of the width, for four neighbours or two.
__device__ __forceinline__ float4 low4(const float* from, u64 stride, int splits)
{
    float4 sum = *(const float4*)from;
    for (int s = 1; s < splits; s++) {
        float4 v = *(const float4*)(from + s * stride);
        sum.x += v.x; sum.y += v.y; sum.z += v.z; sum.w += v.w;
    }
    return sum;
}
__device__ __forceinline__ float2 low2(const float* from, u64 stride, int splits)
{
    float2 sum = *(const float2*)from;
    for (int s = 1; s < splits; s++) {
        float2 v = *(const float2*)(from + s * stride);
        sum.x += v.x; sum.y += v.y;
    }
    return sum;
}

// What both ways of the second half work on. A warp takes a tile and WARP_OUTPUTS of y's columns, from output0 on.
struct Work {
    const float* low;
    const i64* order;
    const T* added;
    T* y;
    Tile tile;
    u64 stride;                                // of low, from one part of the width to the next
    int columns, outputs, splits, output0;
};

// Few rows: a thread takes pairs of neighbouring outputs. Their rows of B are on their way before low is there, which all threads then
// find in shared memory. Reads are 16 bytes, so they take eight of a rank.
__device__ __forceinline__ void few_rows(const Work& work, int parts, bool& waited)
{
    __shared__ float low[FEW][FEW_COLUMNS];
    int lane = threadIdx.x & 31, used = (int)work.tile.entry[3];
    const T* matrix = (const T*)work.tile.entry[1];
    int offset[PAIRS][2], rank[PAIRS][2], column[PAIRS][2];
    #pragma unroll
    for (int q = 0; q < PAIRS; q++) { rank[q][0] = rank[q][1] = 0; }
    for (int p = 0; p < parts; p++) {
        Part part = read_part(work.tile.entry, p);
        #pragma unroll
        for (int q = 0; q < PAIRS; q++) {
            #pragma unroll
            for (int e = 0; e < 2; e++) {
                int row = work.output0 + 64 * q + 2 * lane + e - part.first_row;
                if (row >= 0 && row < part.rows) {
                    offset[q][e] = (int)part.offset + row * part.rank;
                    rank[q][e] = part.rank;
                    column[q][e] = part.first_column;
                }
            }
        }
    }
    uint4 words[PAIRS][2][EARLY];
    u32 start[PAIRS];
    #pragma unroll
    for (int q = 0; q < PAIRS; q++) {
        #pragma unroll
        for (int e = 0; e < 2; e++) {
            #pragma unroll
            for (int h = 0; h < EARLY; h++) { words[q][e][h] = rank[q][e] > 8 * h ? *(const uint4*)(matrix + offset[q][e] + 8 * h) : nothing(); }
        }
        int output = work.output0 + 64 * q + 2 * lane;
        start[q] = work.added && output < work.outputs ? *(const u32*)(work.added + output) : 0;
    }
    u64 targets[FEW];
    #pragma unroll
    for (int i = 0; i < FEW; i++) { targets[i] = i < work.tile.count ? (u64)work.order[work.tile.first + i] * work.outputs : 0; }
    if (!waited) {
        let_next_start();
        wait_for_previous();
        waited = true;
    }
    __syncthreads();                           // low may still be read for the tile before
    for (int i = threadIdx.x; i < work.tile.count * (used / 4); i += 32 * UP_WARPS) {
        int row = i / (used / 4), at = 4 * (i % (used / 4));
        *(float4*)&low[row][at] = low4(work.low + (u64)(work.tile.first + row) * work.columns + at, work.stride, work.splits);
    }
    __syncthreads();
    #pragma unroll
    for (int q = 0; q < PAIRS; q++) {
        int output = work.output0 + 64 * q + 2 * lane;
        if (output >= work.outputs) { break; }
        float sums[FEW][2];
        #pragma unroll
        for (int i = 0; i < FEW; i++) { sums[i][0] = low_half<T>(start[q]); sums[i][1] = high_half<T>(start[q]); }
        #pragma unroll
        for (int e = 0; e < 2; e++) {
            auto add = [&](const uint4& raw, int k) {
                float b[8];
                PackOf<T>::unpack(raw, b);
                #pragma unroll
                for (int i = 0; i < FEW; i++) {
                    if (i >= work.tile.count) { break; }
                    float4 first = *(const float4*)&low[i][column[q][e] + k], second = *(const float4*)&low[i][column[q][e] + k + 4];
                    sums[i][e] += first.x * b[0] + first.y * b[1] + first.z * b[2] + first.w * b[3]
                        + second.x * b[4] + second.y * b[5] + second.z * b[6] + second.w * b[7];
                }
            };
            #pragma unroll
            for (int h = 0; h < EARLY; h++) { if (rank[q][e] > 8 * h) { add(words[q][e][h], 8 * h); } }
            for (int k = 8 * EARLY; k < rank[q][e]; k += 8) { add(*(const uint4*)(matrix + offset[q][e] + k), k); }
        }
        #pragma unroll
        for (int i = 0; i < FEW; i++) {
            if (i < work.tile.count) { *(u32*)(work.y + targets[i] + output) = join<T>(sums[i][0], sums[i][1]); }
        }
    }
}

// More rows, on the matrix units: 32 outputs are four products of eight. A lane's eight numbers of a row are neighbours if product j has
// columns 8 (n / 2) + 2 j + n % 2. Of sixteen of a rank a lane takes four neighbours; of eight two, and the second half is zero.
__device__ __forceinline__ void many_rows(const Work& work, int parts)
{
    int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const T* matrix = (const T*)work.tile.entry[1];
    bool there[2] = {g < work.tile.count, g + 8 < work.tile.count};
    const float* places[2];
    T* targets[2];
    #pragma unroll
    for (int r = 0; r < 2; r++) {
        int place = work.tile.first + (there[r] ? g + 8 * r : 0);
        places[r] = work.low + (u64)place * work.columns;
        targets[r] = work.y + (u64)work.order[place] * work.outputs;
    }
    for (int first = work.output0; first < work.output0 + WARP_OUTPUTS && first < work.outputs; first += 32) {
        float c[4][4];
        #pragma unroll
        for (int j = 0; j < 4; j++) { c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0.0f; }
        for (int p = 0; p < parts; p++) {
            Part part = read_part(work.tile.entry, p);
            if (first + 32 <= part.first_row || first >= part.first_row + part.rows) { continue; }
            for (int k = 0; k < part.rank; k += 16) {
                bool whole = part.rank - k >= 16;
                uint2 b[4], x[2];
                #pragma unroll
                for (int j = 0; j < 4; j++) {
                    int row = first + 8 * (g >> 1) + 2 * j + (g & 1) - part.first_row;
                    b[j].x = b[j].y = 0;
                    if (row >= 0 && row < part.rows) {
                        const T* from = matrix + part.offset + (u64)row * part.rank + k;
                        if (whole) { b[j] = *(const uint2*)(from + 4 * t); } else { b[j].x = *(const u32*)(from + 2 * t); }
                    }
                }
                #pragma unroll
                for (int r = 0; r < 2; r++) {
                    x[r].x = x[r].y = 0;
                    const float* from = places[r] + part.first_column + k;
                    if (there[r] && whole) {
                        float4 v = low4(from + 4 * t, work.stride, work.splits);
                        x[r].x = join<T>(v.x, v.y);
                        x[r].y = join<T>(v.z, v.w);
                    } else if (there[r]) {
                        float2 v = low2(from + 2 * t, work.stride, work.splits);
                        x[r].x = join<T>(v.x, v.y);
                    }
                }
                #pragma unroll
                for (int j = 0; j < 4; j++) { multiply_add<T>(c[j], x[0].x, x[1].x, x[0].y, x[1].y, b[j].x, b[j].y); }
            }
        }
        int output = first + 8 * t;
        if (output < work.outputs) {
            float start[8];
            PackOf<T>::unpack(work.added ? *(const uint4*)(work.added + output) : nothing(), start);
            #pragma unroll
            for (int r = 0; r < 2; r++) {
                if (!there[r]) { break; }
                float sums[8];
                #pragma unroll
                for (int j = 0; j < 4; j++) {
                    sums[2 * j] = start[2 * j] + c[j][2 * r];
                    sums[2 * j + 1] = start[2 * j + 1] + c[j][2 * r + 1];
                }
                *(uint4*)(targets[r] + output) = PackOf<T>::pack(sums);
            }
        }
    }
}

// y [rows, outputs] = added [outputs] + low B', added null for zeros.
extern "C" __global__ void __launch_bounds__(32 * UP_WARPS) mixed_up(
    const float* low, const i64* table, const i64* order, const i64* tiles, const T* added, T* y, int rows, int columns, int outputs, int tile_count, int splits)
{
    int output0 = (blockIdx.x * UP_WARPS + (threadIdx.x >> 5)) * WARP_OUTPUTS;
    bool waited = false;
    for (int index = blockIdx.y; index < tile_count; index += gridDim.y) {
        Tile tile = read_tile(tiles, table, index);
        if (tile.count == 0) { break; }
        int parts = (int)tile.entry[4];
        Work work = {low, order, added, y, tile, (u64)rows * columns, columns, outputs, splits, output0};
        if (tile.count <= FEW && (int)tile.entry[3] <= FEW_COLUMNS) {
            few_rows(work, parts, waited);
            continue;
        }
        if (!waited) {
            let_next_start();
            wait_for_previous();
            waited = true;
        }
        many_rows(work, parts);
    }
    if (!waited) {
        let_next_start();
        wait_for_previous();
    }
}
