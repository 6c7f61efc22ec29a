// target [width] += the column sums of partial [rows, width], always in the same order. Blocks of 32 columns by 8 lanes of rows.
extern "C" __global__ void __launch_bounds__(256) add_columns(const float* partial, float* target, int rows, int width)
{
    __shared__ float sums[8][33];
    int column = blockIdx.x * 32 + (threadIdx.x & 31), lane = threadIdx.x >> 5;
    float sum = 0.0f;
    if (column < width) {
        for (int r = lane; r < rows; r += 8) { sum += partial[(u64)r * width + column]; }
    }
    sums[lane][threadIdx.x & 31] = sum;
    __syncthreads();
    if (lane == 0 && column < width) {
        for (int l = 1; l < 8; l++) { sum += sums[l][threadIdx.x & 31]; }
        target[column] += sum;
    }
}
