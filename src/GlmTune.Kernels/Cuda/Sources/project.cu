// y = x W' + bias + residual for up to 8 * TILES rows of x: as fast as the weights can be read. Eight rows of W are a tile; a block walks
// over tiles, its warps share the inner dimension in steps of 64, and each warp has AHEAD steps of weights on their way to registers
// while it multiplies, across the ends of tiles too.
constexpr int WARPS = 4;
constexpr int AHEAD = 4;
constexpr int STEP = 64;

// Where a warp reads next: step of its share of a tile, and the row of W that this lane reads there.
struct Reader {
    const T* weight;
    const T* row;
    int tile, step, steps, warp, g, t, width, rows, half, tiles, stride;

    __device__ __forceinline__ void find_row() {
        // With half > 0 a tile is four rows of the gate and the same four of up.
        int wanted = half ? (g < 4 ? tile * 4 + g : half + tile * 4 + g - 4) : tile * 8 + g;
        int last = half ? (g < 4 ? half - 1 : rows - 1) : rows - 1;
        row = weight + (u64)(wanted < last ? wanted : last) * width;      // past the end the last again; nobody reads its sums
    }

    // The lane's two pieces of the step, zeros where there is nothing; then on to the next step.
    __device__ __forceinline__ void read(uint4 (&piece)[2]) {
        #pragma unroll
        for (int u = 0; u < 2; u++) {
            int k = (step * WARPS + warp) * STEP + 32 * u + 8 * t;
            piece[u].x = piece[u].y = piece[u].z = piece[u].w = 0;
            if (k < width && tile < tiles) { piece[u] = load_once(row + k); }
        }
        if (++step == steps) {
            step = 0;
            tile += stride;
            find_row();
        }
    }
};

// Calls finish(tile, sums) for each of the block's tiles, where sums[row of W in the tile][row of x]; in every thread.
template <class Finish>
__device__ __forceinline__ void multiply(const T* x, const T* weight, int batch, int width, int rows, int half, const Finish& finish)
{
    __shared__ float partial[2][WARPS][8][8 * TILES + 1];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int tiles = half ? (half + 3) / 4 : (rows + 7) / 8;
    int per_warp = (width + WARPS * STEP - 1) / (WARPS * STEP);
    int steps = (per_warp + AHEAD - 1) / AHEAD * AHEAD;                    // so that every tile begins at the same buffer
    Reader reader = {weight, weight, (int)blockIdx.x, 0, steps, warp, g, t, width, rows, half, tiles, (int)gridDim.x};
    reader.find_row();
    const T* inputs[TILES];
    #pragma unroll
    for (int i = 0; i < TILES; i++) { inputs[i] = x + (u64)(8 * i + g < batch ? 8 * i + g : batch - 1) * width; }
    uint4 w[AHEAD][2];
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) { reader.read(w[a]); }
    int parity = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int step = 0; step < steps; step += AHEAD) {
            #pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                uint4 v[TILES][2];
                #pragma unroll
                for (int u = 0; u < 2; u++) {
                    int k = ((step + a) * WARPS + warp) * STEP + 32 * u + 8 * t;
                    k = k < width ? k : 0;                                  // meets zeros
                    #pragma unroll
                    for (int i = 0; i < TILES; i++) { v[i][u] = *(const uint4*)(inputs[i] + k); }
                }
                #pragma unroll
                for (int u = 0; u < 2; u++) {
                    multiply_add<T>(c, v[0][u].x, TILES > 1 ? v[TILES - 1][u].x : 0, v[0][u].y, TILES > 1 ? v[TILES - 1][u].y : 0, w[a][u].x, w[a][u].y);
                    multiply_add<T>(c, v[0][u].z, TILES > 1 ? v[TILES - 1][u].z : 0, v[0][u].w, TILES > 1 ? v[TILES - 1][u].w : 0, w[a][u].z, w[a][u].w);
                }
                reader.read(w[a]);
            }
        }
        partial[parity][warp][2 * t][g] = c[0];
        partial[parity][warp][2 * t + 1][g] = c[1];
        if (TILES > 1) {
            partial[parity][warp][2 * t][8 * (TILES - 1) + g] = c[2];
            partial[parity][warp][2 * t + 1][8 * (TILES - 1) + g] = c[3];
        }
        __syncthreads();
        finish(tile, partial[parity]);
        parity ^= 1;                     // the other half may be written at once: its readers have passed this barrier
    }
}

__device__ __forceinline__ float sum_of(const float (&partial)[WARPS][8][8 * TILES + 1], int row, int column)
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
    multiply(x, weight, batch, width, outputs, 0, [&](int tile, const float (&partial)[WARPS][8][8 * TILES + 1]) {
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
    multiply(x, weight, batch, width, 2 * half, half, [&](int tile, const float (&partial)[WARPS][8][8 * TILES + 1]) {
        int row = threadIdx.x % 4, column = threadIdx.x / 4, output = tile * 4 + row;
        if (column < batch && output < half) {
            float gate = rounded(sum_of(partial, row, column)), up = rounded(sum_of(partial, row + 4, column));
            y[(u64)column * half + output] = narrow<T>(gate * sigmoid(gate) * up);
        }
    });
}
