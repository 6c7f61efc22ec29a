// y = x W' + bias + residual for up to eight rows of x: as fast as the weights can be read. Eight rows of W are a tile; a block walks over
// tiles, and its warps share the inner dimension in steps of 64. Each warp keeps AHEAD steps of weights on their way to shared memory
// while it multiplies, across the ends of tiles too. A warp's copy takes whole lines of 128 bytes: half lines cost the cache as much.
constexpr int WARPS = 4;
constexpr int AHEAD = 4;
constexpr int STEP = 64;

// A step's weights: eight rows of eight pieces. Odd rows have their halves exchanged, so that lanes that read together meet other banks.
typedef uint4 Stage[8][8];
__device__ __forceinline__ int slot(int row, int piece) { return piece ^ ((row & 1) << 2); }

// What a warp copies next: a step of its share of a tile; this lane takes one piece of two rows.
struct Reader {
    const T* weight;
    const T* places[2];
    int tile, step, steps, column, lane, width, rows, half, tiles;

    __device__ __forceinline__ void find_rows() {
        #pragma unroll
        for (int u = 0; u < 2; u++) {
            // With half > 0 a tile is four rows of the gate and the same four of up.
            int local = lane >> 3;
            int wanted = half ? (u ? half : 0) + tile * 4 + local : tile * 8 + 4 * u + local;
            int last = half && u == 0 ? half - 1 : rows - 1;
            places[u] = weight + (u64)(wanted < last ? wanted : last) * width;      // past the end the last again; nobody reads its sums
        }
    }

    // Zeros where there is nothing; then on to the next step.
    __device__ __forceinline__ void copy(Stage& stage) {
        if (tile < tiles) {
            int k = step * (WARPS * STEP) + column + 8 * (lane & 7);
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                int row = 4 * u + (lane >> 3);
                copy_later(&stage[row][slot(row, lane & 7)], places[u] + (k < width ? k : 0), k < width);
            }
            if (++step == steps) {
                step = 0;
                tile += gridDim.x;
                find_rows();
            }
        }
        end_group();                     // also of nothing, so that the count of groups is the count of steps
    }
};

// Calls finish(tile, partial) for each of the block's tiles, in every thread: partial[warp][row of W in the tile][row of x].
template <class Finish>
__device__ __forceinline__ void multiply(const T* x, const T* weight, int batch, int width, int rows, int half, const Finish& finish)
{
    __shared__ Stage ring[WARPS][AHEAD];
    __shared__ float partial[2][WARPS][8][9];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int steps = (width + WARPS * STEP - 1) / (WARPS * STEP);
    Reader reader = {weight, {weight, weight}, (int)blockIdx.x, 0, steps, warp * STEP, lane, width, rows, half, half ? (half + 3) / 4 : (rows + 7) / 8};
    reader.find_rows();
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) { reader.copy(ring[warp][a]); }
    wait_for_previous();
    const T* input = x + (u64)(g < batch ? g : batch - 1) * width;        // rows past the end repeat the last; nobody reads their sums
    // The pieces of x for a step are read a step before they are needed. Past the end they meet zeros.
    uint4 v[2], next[2];
    #pragma unroll
    for (int u = 0; u < 2; u++) {
        int k = warp * STEP + 8 * t + 32 * u;
        next[u] = *(const uint4*)(input + (k < width ? k : 0));
    }
    int parity = 0, stage = 0;
    for (int tile = blockIdx.x; tile < reader.tiles; tile += gridDim.x) {
        float c[2][4] = {{0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}};
        for (int step = 0; step < steps; step++) {
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                v[u] = next[u];
                int k = ((step + 1 == steps ? 0 : step + 1) * WARPS + warp) * STEP + 8 * t + 32 * u;
                next[u] = *(const uint4*)(input + (k < width ? k : 0));
            }
            wait_for_all_but<AHEAD - 1>();
            __syncwarp();                // what the other lanes copied is there too
            uint4 w[2] = {ring[warp][stage][g][slot(g, t)], ring[warp][stage][g][slot(g, t + 4)]};
            __syncwarp();                // every lane has read: the stage may be filled again
            reader.copy(ring[warp][stage]);
            stage = stage + 1 == AHEAD ? 0 : stage + 1;
            // The rows of x are the left side's first eight; the others are zero.
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                multiply_add<T>(c[u], v[u].x, 0, v[u].y, 0, w[u].x, w[u].y);
                multiply_add<T>(c[u], v[u].z, 0, v[u].w, 0, w[u].z, w[u].w);
            }
        }
        if (tile + gridDim.x >= reader.tiles) { let_next_start(); }
        partial[parity][warp][2 * t][g] = c[0][0] + c[1][0];
        partial[parity][warp][2 * t + 1][g] = c[0][1] + c[1][1];
        __syncthreads();
        finish(tile, partial[parity]);
        parity ^= 1;                     // the other half may be written at once: its readers have passed this barrier
    }
}

__device__ __forceinline__ float sum_of(const float (&partial)[WARPS][8][9], int row, int column)
{
    float sum = 0.0f;
    #pragma unroll
    for (int w = 0; w < WARPS; w++) { sum += partial[w][row][column]; }
    return sum;
}

// bias [outputs] and residual [batch, outputs] may be null.
extern "C" __global__ void __launch_bounds__(128, 6) project(
    const T* x, const T* weight, const T* bias, const T* residual, T* y, int batch, int width, int outputs)
{
    multiply(x, weight, batch, width, outputs, 0, [&](int tile, const float (&partial)[WARPS][8][9]) {
        int row = threadIdx.x % 8, column = threadIdx.x / 8, output = tile * 8 + row;
        if (column < batch && output < outputs) {
            float sum = sum_of(partial, row, column);
            if (bias) { sum += widen(bias[output]); }
            u64 place = (u64)column * outputs + output;
            y[place] = narrow<T>(residual ? sum + widen(residual[place]) : sum);
        }
    });
}

// y [batch, half] = silu(gate) * up, where W's first half rows give gate and the others up.
extern "C" __global__ void __launch_bounds__(128, 6) project_swiglu(const T* x, const T* weight, T* y, int batch, int width, int half)
{
    multiply(x, weight, batch, width, 2 * half, half, [&](int tile, const float (&partial)[WARPS][8][9]) {
        int row = threadIdx.x % 4, column = threadIdx.x / 4, output = tile * 4 + row;
        if (column < batch && output < half) {
            float gate = rounded(sum_of(partial, row, column)), up = rounded(sum_of(partial, row + 4, column));
            y[(u64)column * half + output] = narrow<T>(gate * sigmoid(gate) * up);
        }
    });
}
