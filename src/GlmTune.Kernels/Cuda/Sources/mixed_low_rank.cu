// Low-rank adapters of which each row of x has its own: low = s x A', then y = added + low B'. Rows are taken in an order in which those
// of one adapter are neighbours; a tile is up to sixteen of them, (adapter << 32) | (first << 8) | count, with a count of 0 past the last.
// The table has an entry for each adapter: the addresses of A [columns, width], of B and of the scales [columns] in float; the number of
// columns, a multiple of 8; and its parts, each a range of y's columns with its own rows of A. B holds the parts one after another, each
// [rows, rank]. Entry 0 is that of rows without an adapter. Weights, table, order and tiles are read before the previous kernel has ended.
typedef long long i64;
constexpr int ENTRY = 20;
constexpr int PART = 5;
constexpr int STEP = 32;                       // of the inner dimension, that a warp takes at once
constexpr int MOST_WARPS = 16;
constexpr int AHEAD = 8;                      // steps that a warp reads at once
constexpr int DEPTH = 2;                      // likewise sixteens of a rank

struct Tile { const i64* entry; int first, count; };

__device__ __forceinline__ Tile read_tile(const i64* tiles, const i64* table, int index)
{
    i64 word = tiles[index];
    return {table + (word >> 32) * ENTRY, (int)((word >> 8) & 0xffffff), (int)(word & 255)};
}

__device__ __forceinline__ uint4 nothing() { uint4 v; v.x = v.y = v.z = v.w = 0; return v; }

// low [rows in order, columns]. A block takes a tile and eight of its adapter's columns; its warps share the width, AHEAD steps each at a
// time. What is read of A is on its way before x is there.
extern "C" __global__ void __launch_bounds__(512) mixed_down(
    const T* x, const i64* table, const i64* order, const i64* tiles, T* low, int width, int columns)
{
    __shared__ float partial[MOST_WARPS][16][9];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5, g = lane >> 2, t = lane & 3, column0 = blockIdx.x * 8;
    Tile tile = read_tile(tiles, table, blockIdx.y);
    if (tile.count == 0 || column0 >= (int)tile.entry[3]) {
        wait_for_previous();                   // or the next kernel would not wait for that either
        return;
    }
    const T* a = (const T*)tile.entry[0] + (u64)(column0 + g) * width + 8 * t;
    float scale = ((const float*)tile.entry[2])[column0 + (threadIdx.x & 7)];
    int rows[2] = {(int)order[tile.first + (g < tile.count ? g : 0)], (int)order[tile.first + (g + 8 < tile.count ? g + 8 : 0)]};
    const T* inputs[2] = {x + (u64)rows[0] * width + 8 * t, x + (u64)rows[1] * width + 8 * t};
    bool there[2] = {g < tile.count, g + 8 < tile.count};
    float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    bool waited = false;
    for (int base = warp * (STEP * AHEAD); base < width; base += warps * (STEP * AHEAD)) {
        uint4 b[AHEAD];
        #pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            int k = base + STEP * u;
            b[u] = k + 8 * t < width ? load_once(a + k) : nothing();
        }
        if (!waited) { wait_for_previous(); waited = true; }
        #pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            int k = base + STEP * u;
            bool inside = k + 8 * t < width;
            uint4 x0 = inside && there[0] ? *(const uint4*)(inputs[0] + k) : nothing();
            uint4 x1 = inside && there[1] ? *(const uint4*)(inputs[1] + k) : nothing();
            multiply_add<T>(c, x0.x, x1.x, x0.y, x1.y, b[u].x, b[u].y);
            multiply_add<T>(c, x0.z, x1.z, x0.w, x1.w, b[u].z, b[u].w);
        }
    }
    if (!waited) { wait_for_previous(); }
    let_next_start();
    partial[warp][g][2 * t] = c[0];
    partial[warp][g][2 * t + 1] = c[1];
    partial[warp][g + 8][2 * t] = c[2];
    partial[warp][g + 8][2 * t + 1] = c[3];
    __syncthreads();
    int row = threadIdx.x >> 3, column = threadIdx.x & 7;
    if (row < tile.count) {
        float sum = 0.0f;
        for (int w = 0; w < warps; w++) { sum += partial[w][row][column]; }
        low[(u64)(tile.first + row) * columns + column0 + column] = narrow<T>(sum * scale);
    }
}

// y [rows, outputs] = added [outputs] + low B', added null for zeros. A warp takes a tile and 32 of y's columns, in four products of
// eight: a lane's eight numbers of a row are neighbours if product j has columns 8 (n / 2) + 2 j + n % 2.
extern "C" __global__ void __launch_bounds__(128) mixed_up(
    const T* low, const i64* table, const i64* order, const i64* tiles, const T* added, T* y, int columns, int outputs)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int output0 = (blockIdx.x * 4 + warp) * 32;
    Tile tile = read_tile(tiles, table, blockIdx.y);
    if (tile.count == 0 || output0 >= outputs) {
        wait_for_previous();
        return;
    }
    const T* matrix = (const T*)tile.entry[1];
    int parts = (int)tile.entry[4];
    bool wanted = output0 + 8 * t < outputs;
    uint4 start = added && wanted ? *(const uint4*)(added + output0 + 8 * t) : nothing();
    int places[2] = {(int)order[tile.first + (g < tile.count ? g : 0)], (int)order[tile.first + (g + 8 < tile.count ? g + 8 : 0)]};
    const T* inputs[2] = {low + (u64)(tile.first + (g < tile.count ? g : 0)) * columns, low + (u64)(tile.first + (g + 8 < tile.count ? g + 8 : 0)) * columns};
    float c[4][4];
    #pragma unroll
    for (int j = 0; j < 4; j++) { c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0.0f; }
    bool waited = false;
    for (int p = 0; p < parts; p++) {
        const i64* part = tile.entry + PART + 3 * p;
        int first_row = (int)part[0], rows = (int)(part[0] >> 32), first_column = (int)part[1], rank = (int)(part[1] >> 32);
        if (output0 + 32 <= first_row || output0 >= first_row + rows) { continue; }
        const T* b = matrix + part[2];
        for (int k0 = 0; k0 < rank; k0 += 16 * DEPTH) {
            uint2 words[DEPTH][4];
            #pragma unroll
            for (int d = 0; d < DEPTH; d++) {
                // A step of sixteen: a lane takes four neighbours. One of eight: two, and the second half is zero.
                int k = k0 + 16 * d, left = rank - k;
                #pragma unroll
                for (int j = 0; j < 4; j++) {
                    int row = output0 + 8 * (g >> 1) + 2 * j + (g & 1) - first_row;
                    bool has = row >= 0 && row < rows;
                    const T* from = b + (u64)(has ? row : 0) * rank + k;
                    words[d][j].x = words[d][j].y = 0;
                    if (has && left >= 16) { words[d][j] = *(const uint2*)(from + 4 * t); }
                    else if (has && left > 0) { words[d][j].x = *(const u32*)(from + 2 * t); }
                }
            }
            if (!waited) { wait_for_previous(); waited = true; }
            #pragma unroll
            for (int d = 0; d < DEPTH; d++) {
                int k = k0 + 16 * d, left = rank - k;
                if (left <= 0) { break; }
                uint2 x[2];
                #pragma unroll
                for (int r = 0; r < 2; r++) {
                    const T* from = inputs[r] + first_column + k;
                    x[r].y = 0;
                    if (left >= 16) { x[r] = *(const uint2*)(from + 4 * t); } else { x[r].x = *(const u32*)(from + 2 * t); }
                }
                #pragma unroll
                for (int j = 0; j < 4; j++) { multiply_add<T>(c[j], x[0].x, x[1].x, x[0].y, x[1].y, words[d][j].x, words[d][j].y); }
            }
        }
    }
    if (!waited) { wait_for_previous(); }
    let_next_start();
    if (!wanted) { return; }
    float first[8];
    PackOf<T>::unpack(start, first);
    #pragma unroll
    for (int r = 0; r < 2; r++) {
        if (g + 8 * r >= tile.count) { break; }
        float sums[8];
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            sums[2 * j] = first[2 * j] + c[j][2 * r];
            sums[2 * j + 1] = first[2 * j + 1] + c[j][2 * r + 1];
        }
        *(uint4*)(y + (u64)places[r] * outputs + output0 + 8 * t) = PackOf<T>::pack(sums);
    }
}
