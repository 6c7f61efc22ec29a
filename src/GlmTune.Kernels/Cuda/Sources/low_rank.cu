// The narrow half of a low-rank adapter: low = dropout(x) a', with RANK rows in a, and its gradients. x is read once, and what dropout
// leaves of it is never written: the mask is drawn again wherever it is needed. RANK is a multiple of 8; width one of 64.
constexpr int WARPS = 4;
constexpr int TILES = RANK / 8;                // products of eight
constexpr int DEPTHS = (RANK + 15) / 16;       // steps of sixteen over the rank

// Which of the two halves of a word are kept, as a mask over its bits. index is that of the first element.
__device__ __forceinline__ u32 kept_halves(u32 index, u32 key, u32 threshold)
{
    return (kept(index, key, threshold) ? 0xffffu : 0u) | (kept(index + 1, key, threshold) ? 0xffff0000u : 0u);
}

__device__ __forceinline__ void drop(uint4& piece, u32 index, u32 key, u32 threshold)
{
    piece.x &= kept_halves(index, key, threshold);
    piece.y &= kept_halves(index + 2, key, threshold);
    piece.z &= kept_halves(index + 4, key, threshold);
    piece.w &= kept_halves(index + 6, key, threshold);
}

// low [tokens, RANK]. A block takes 16 tokens; its warps share the width in steps of 128. scale undoes what dropout takes away.
extern "C" __global__ void __launch_bounds__(128, 4) low_rank_down(
    const T* x, const T* a, T* low, int tokens, int width, const u32* stored, u32 key, u32 threshold, float scale)
{
    key = stored ? *stored : key;
    __shared__ float partial[WARPS][16][RANK + 1];
    constexpr int UNROLL = 4;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, last = tokens - 1;
    int row0 = blockIdx.x * 16 + g, row1 = row0 + 8;
    row0 = row0 < last ? row0 : last;
    row1 = row1 < last ? row1 : last;
    float c[TILES][4];
    #pragma unroll
    for (int i = 0; i < TILES; i++) { c[i][0] = c[i][1] = c[i][2] = c[i][3] = 0.0f; }
    for (int base = warp * 32 * UNROLL; base < width; base += WARPS * 32 * UNROLL) {
        uint4 x0[UNROLL], x1[UNROLL];
        #pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int k = base + 32 * u + 8 * t;
            k = k < width ? k : 0;
            x0[u] = load_once(x + (u64)row0 * width + k);
            x1[u] = load_once(x + (u64)row1 * width + k);
        }
        #pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int k = base + 32 * u + 8 * t;
            if (base + 32 * u >= width) { break; }                // the same for the whole warp
            drop(x0[u], (u32)row0 * width + k, key, threshold);
            drop(x1[u], (u32)row1 * width + k, key, threshold);
            #pragma unroll
            for (int i = 0; i < TILES; i++) {
                uint4 b = *(const uint4*)(a + (u64)(8 * i + g) * width + k);
                multiply_add<T>(c[i], x0[u].x, x1[u].x, x0[u].y, x1[u].y, b.x, b.y);
                multiply_add<T>(c[i], x0[u].z, x1[u].z, x0[u].w, x1[u].w, b.z, b.w);
            }
        }
    }
    #pragma unroll
    for (int i = 0; i < TILES; i++) {
        partial[warp][g][8 * i + 2 * t] = c[i][0];
        partial[warp][g][8 * i + 2 * t + 1] = c[i][1];
        partial[warp][g + 8][8 * i + 2 * t] = c[i][2];
        partial[warp][g + 8][8 * i + 2 * t + 1] = c[i][3];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * RANK; i += WARPS * 32) {
        int row = i / RANK, column = i % RANK, token = blockIdx.x * 16 + row;
        if (token < tokens) {
            float sum = 0.0f;
            #pragma unroll
            for (int w = 0; w < WARPS; w++) { sum += partial[w][row][column]; }
            low[(u64)token * RANK + column] = narrow<T>(sum * scale);
        }
    }
}

// input_gradient [tokens, width] += dropout's gradient of (gradient [tokens, RANK] times a). A warp keeps 64 columns of a in registers
// and walks over steps of 16 tokens. Grid: columns / 64, blocks of tokens.
extern "C" __global__ void __launch_bounds__(128, 4) low_rank_input_gradient(
    const T* gradient, const T* a, T* input_gradient, int tokens, int width, const u32* stored, u32 key, u32 threshold, float scale)
{
    key = stored ? *stored : key;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, last = tokens - 1;
    int column0 = blockIdx.x * 64;
    u32 b[DEPTHS][8][2];
    #pragma unroll
    for (int d = 0; d < DEPTHS; d++) {
        #pragma unroll
        for (int h = 0; h < 2; h++) {
            // Rows 2t and 2t + 1 (h = 0), 2t + 8 and 2t + 9 (h = 1) of this step, if the rank has them.
            bool there = 16 * d + 8 * h < RANK;
            const T* place = a + (u64)(there ? 16 * d + 8 * h + 2 * t : 0) * width + column0 + 8 * g;
            uint4 even = *(const uint4*)place, odd = *(const uint4*)(place + width);
            #pragma unroll
            for (int e = 0; e < 8; e++) { b[d][e][h] = there ? __byte_perm(word(even, e / 2), word(odd, e / 2), e & 1 ? 0x7632u : 0x5410u) : 0; }
        }
    }
    for (int token0 = (blockIdx.y * WARPS + warp) * 16; token0 < tokens; token0 += gridDim.y * WARPS * 16) {
        int rows[2] = {token0 + g < last ? token0 + g : last, token0 + g + 8 < last ? token0 + g + 8 : last};
        T* places[2];
        uint4 old[2][2];
        u32 words[DEPTHS][4];
        #pragma unroll
        for (int r = 0; r < 2; r++) {
            places[r] = input_gradient + (u64)rows[r] * width + column0 + 16 * t;
            old[r][0] = *(const uint4*)places[r];
            old[r][1] = *(const uint4*)(places[r] + 8);
            #pragma unroll
            for (int d = 0; d < DEPTHS; d++) {
                const u32* from = (const u32*)(gradient + (u64)rows[r] * RANK + 16 * d + 2 * t);
                words[d][r] = from[0];
                words[d][2 + r] = 16 * d + 8 < RANK ? from[4] : 0;
            }
        }
        float c[8][4];
        #pragma unroll
        for (int e = 0; e < 8; e++) {
            c[e][0] = c[e][1] = c[e][2] = c[e][3] = 0.0f;
            #pragma unroll
            for (int d = 0; d < DEPTHS; d++) { multiply_add<T>(c[e], words[d][0], words[d][1], words[d][2], words[d][3], b[d][e][0], b[d][e][1]); }
        }
        // c[e][0 and 1]: row g, columns 16t + e and 16t + 8 + e; c[e][2 and 3]: row g + 8.
        #pragma unroll
        for (int r = 0; r < 2; r++) {
            if (token0 + g + 8 * r > last) { continue; }
            #pragma unroll
            for (int p = 0; p < 2; p++) {
                Pack sum;
                PackOf<T>::unpack(old[r][p], sum.at);
                u32 index = (u32)rows[r] * width + column0 + 16 * t + 8 * p;
                #pragma unroll
                for (int e = 0; e < 8; e++) { sum.at[e] += kept(index + e, key, threshold) ? c[e][2 * r + p] * scale : 0.0f; }
                store(places[r] + 8 * p, sum);
            }
        }
    }
}

// partial [gridDim.y, RANK, width], float32: each block's part of gradient' dropout(x); transposed is gradient' [RANK, padded], where padded
// is tokens made a multiple of 16 by columns of zeros. A warp takes 64 columns and walks over steps of 16 tokens; in the last step the last
// token stands in for those that are not there. Grid: columns / 64, blocks of tokens.
extern "C" __global__ void __launch_bounds__(128, 3) low_rank_weight_gradient(
    const T* transposed, const T* x, float* partial, int tokens, int padded, int width, const u32* stored, u32 key, u32 threshold, float scale)
{
    key = stored ? *stored : key;
    __shared__ float sums[WARPS][RANK][65];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int column0 = blockIdx.x * 64, stride = gridDim.y * WARPS * 16, last = tokens - 1;
    float c[DEPTHS][8][4];
    #pragma unroll
    for (int d = 0; d < DEPTHS; d++) {
        #pragma unroll
        for (int e = 0; e < 8; e++) { c[d][e][0] = c[d][e][1] = c[d][e][2] = c[d][e][3] = 0.0f; }
    }
    int token0 = (blockIdx.y * WARPS + warp) * 16;
    uint4 next[4];
    #pragma unroll
    for (int r = 0; r < 4; r++) {
        int token = token0 + 2 * t + (r & 1) + 8 * (r >> 1);
        if (token0 < padded) { next[r] = load_once(x + (u64)(token < last ? token : last) * width + column0 + 8 * g); }
    }
    for (; token0 < padded; token0 += stride) {
        uint4 v[4];
        #pragma unroll
        for (int r = 0; r < 4; r++) {
            v[r] = next[r];
            int token = token0 + 2 * t + (r & 1) + 8 * (r >> 1);
            int after = token + stride < last ? token + stride : last;
            if (token0 + stride < padded) { next[r] = load_once(x + (u64)after * width + column0 + 8 * g); }
            drop(v[r], (u32)token * width + column0 + 8 * g, key, threshold);
        }
        u32 words[DEPTHS][4];
        #pragma unroll
        for (int d = 0; d < DEPTHS; d++) {
            // Rows g and g + 8 of this step of the rank; tokens 2t, 2t + 1 and 2t + 8, 2t + 9.
            const u32* first = (const u32*)(transposed + (u64)(16 * d + g) * padded + token0 + 2 * t);
            const u32* second = (const u32*)(transposed + (u64)(16 * d + 8 < RANK ? 16 * d + 8 + g : 0) * padded + token0 + 2 * t);
            words[d][0] = first[0];
            words[d][2] = first[4];
            words[d][1] = 16 * d + 8 < RANK ? second[0] : 0;
            words[d][3] = 16 * d + 8 < RANK ? second[4] : 0;
        }
        #pragma unroll
        for (int e = 0; e < 8; e++) {
            u32 half = e & 1 ? 0x7632u : 0x5410u;
            u32 b0 = __byte_perm(word(v[0], e / 2), word(v[1], e / 2), half);
            u32 b1 = __byte_perm(word(v[2], e / 2), word(v[3], e / 2), half);
            #pragma unroll
            for (int d = 0; d < DEPTHS; d++) { multiply_add<T>(c[d][e], words[d][0], words[d][1], words[d][2], words[d][3], b0, b1); }
        }
    }
    #pragma unroll
    for (int d = 0; d < DEPTHS; d++) {
        #pragma unroll
        for (int e = 0; e < 8; e++) {
            // Column 2t of the product is piece 2t, whose element e this is; column 2t + 1 the next piece.
            sums[warp][16 * d + g][16 * t + e] = c[d][e][0];
            sums[warp][16 * d + g][16 * t + 8 + e] = c[d][e][1];
            if (16 * d + 8 < RANK) {
                sums[warp][16 * d + 8 + g][16 * t + e] = c[d][e][2];
                sums[warp][16 * d + 8 + g][16 * t + 8 + e] = c[d][e][3];
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < RANK * 64; i += WARPS * 32) {
        int row = i / 64, column = i % 64;
        float sum = 0.0f;
        #pragma unroll
        for (int w = 0; w < WARPS; w++) { sum += sums[w][row][column]; }
        partial[((u64)blockIdx.y * RANK + row) * width + column0 + column] = sum * scale;
    }
}
