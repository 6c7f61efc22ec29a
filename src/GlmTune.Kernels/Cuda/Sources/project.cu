// y = x W' + bias + residual for a few rows of x: as fast as the weights can be read. A block takes 16 rows of W; its warps share the inner
// dimension; TILES groups of 8 rows of x are multiplied at once.
constexpr int WARPS = 8;
constexpr int UNROLL = TILES > 2 ? 2 : 4;

// Products of 16 rows of W (rows g and g + 8 of this lane begin at first and second) with all rows of x, summed over the warps into
// sums[row of W][row of x].
__device__ __forceinline__ void multiply_rows(const T* x, const T* first, const T* second, int batch, int width, float (&sums)[16][8 * TILES])
{
    __shared__ float partial[WARPS][16][8 * TILES + 1];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    float c[TILES][4];
    const T* rows[TILES];
    #pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        int row = tile * 8 + g;
        rows[tile] = x + (u64)(row < batch ? row : batch - 1) * width;      // rows past the end repeat the last; nobody reads their sums
        c[tile][0] = c[tile][1] = c[tile][2] = c[tile][3] = 0.0f;
    }
    for (int base = warp * 32 * UNROLL; base < width; base += WARPS * 32 * UNROLL) {
        uint4 w0[UNROLL], w1[UNROLL], v[UNROLL][TILES];
        #pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int place = base + 32 * u + 8 * t;
            bool inside = place < width;
            int k = inside ? place : width - 8;         // past the end: weights that are there, times zero
            w0[u] = load_once(first + k);
            w1[u] = load_once(second + k);
            #pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                v[u][tile] = *(const uint4*)(rows[tile] + k);
                if (!inside) { v[u][tile].x = v[u][tile].y = v[u][tile].z = v[u][tile].w = 0; }
            }
        }
        #pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            #pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                multiply_add<T>(c[tile], w0[u].x, w1[u].x, w0[u].y, w1[u].y, v[u][tile].x, v[u][tile].y);
                multiply_add<T>(c[tile], w0[u].z, w1[u].z, w0[u].w, w1[u].w, v[u][tile].z, v[u][tile].w);
            }
        }
    }
    #pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        partial[warp][g][tile * 8 + 2 * t] = c[tile][0];
        partial[warp][g][tile * 8 + 2 * t + 1] = c[tile][1];
        partial[warp][g + 8][tile * 8 + 2 * t] = c[tile][2];
        partial[warp][g + 8][tile * 8 + 2 * t + 1] = c[tile][3];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * 8 * TILES; i += WARPS * 32) {
        int row = i / (8 * TILES), column = i % (8 * TILES);
        float sum = 0.0f;
        #pragma unroll
        for (int w = 0; w < WARPS; w++) { sum += partial[w][row][column]; }
        sums[row][column] = sum;
    }
    __syncthreads();
}

// bias [outputs] and residual [batch, outputs] may be null.
extern "C" __global__ void __launch_bounds__(256) project(
    const T* x, const T* weight, const T* bias, const T* residual, T* y, int batch, int width, int outputs)
{
    __shared__ float sums[16][8 * TILES];
    int g = (threadIdx.x & 31) >> 2;
    int first = blockIdx.x * 16 + g, second = first + 8, last = outputs - 1;
    multiply_rows(x, weight + (u64)(first < last ? first : last) * width, weight + (u64)(second < last ? second : last) * width, batch, width, sums);
    for (int i = threadIdx.x; i < 16 * 8 * TILES; i += WARPS * 32) {
        int row = i % 16, column = i / 16, output = blockIdx.x * 16 + row;
        if (column < batch && output < outputs) {
            float sum = sums[row][column];
            if (bias) { sum += widen(bias[output]); }
            u64 place = (u64)column * outputs + output;
            y[place] = narrow<T>(residual ? sum + widen(residual[place]) : sum);
        }
    }
}

// y [batch, half] = silu(gate) * up, where W's first half rows give gate and the others up.
extern "C" __global__ void __launch_bounds__(256) project_swiglu(const T* x, const T* weight, T* y, int batch, int width, int half)
{
    __shared__ float sums[16][8 * TILES];
    int g = (threadIdx.x & 31) >> 2;
    int output = blockIdx.x * 8 + g, last = half - 1;
    int row = output < last ? output : last;
    multiply_rows(x, weight + (u64)row * width, weight + (u64)(half + row) * width, batch, width, sums);
    for (int i = threadIdx.x; i < 8 * 8 * TILES; i += WARPS * 32) {
        int local = i % 8, column = i / 8, place = blockIdx.x * 8 + local;
        if (column < batch && place < half) {
            float gate = rounded(sums[local][column]), up = rounded(sums[local + 8][column]);
            y[(u64)column * half + place] = narrow<T>(gate * sigmoid(gate) * up);
        }
    }
}
