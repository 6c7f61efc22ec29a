// project.cu for frozen weights of 4 and 8 bits: y = x W' + bias + residual for up to eight rows of x, as fast as the bits can be read. WEIGHT
// says which: 4 nf4, 8 int8 with a scale a row, 9 e4m3 with one scale. The weights become T, which holds 8-bit numbers exactly and rounds
// nf4's quantiles; scales multiply float32 sums.
constexpr int WARPS = 4;
constexpr int AHEAD = 4;
constexpr int LINE = 128;                                   // bytes of a row that a warp takes in a step
constexpr int STEP = WEIGHT == 4 ? 2 * LINE : LINE;         // the same in numbers
constexpr int SLICE = STEP / 8;                             // numbers of a piece of 16 bytes
typedef unsigned char u8;

// A step's weights: eight rows of eight pieces, so placed that lanes that read together meet other banks.
typedef uint4 Stage[8][8];
__device__ __forceinline__ int slot(int row, int piece) { return WEIGHT == 4 ? piece ^ ((row & 3) << 1) : piece ^ ((row & 1) << 2); }

__device__ __forceinline__ void copy_bytes(uint4* to, const u8* from, bool there) { copy_later(to, (const T*)from, there); }

// What a warp copies next: a step of its share of a tile; this lane takes one piece of two rows.
struct Reader {
    const u8* weight;
    const u8* places[2];
    int tile, step, steps, column, lane, width, rows, half, tiles;

    __device__ __forceinline__ int row_of(int tile, int local) const {
        // With half > 0 a tile is four rows of the gate and the same four of up. Past the end the last again; nobody reads its sums.
        int wanted = half ? (local < 4 ? 0 : half) + tile * 4 + (local & 3) : tile * 8 + local;
        int last = half && local < 4 ? half - 1 : rows - 1;
        return wanted < last ? wanted : last;
    }
    __device__ __forceinline__ void find_rows() {
        #pragma unroll
        for (int u = 0; u < 2; u++) { places[u] = weight + (u64)row_of(tile, 4 * u + (lane >> 3)) * (width / SLICE) * 16; }
    }
    // Zeros where there is nothing; then on to the next step.
    __device__ __forceinline__ void copy(Stage& stage) {
        if (tile < tiles) {
            int k = step * (WARPS * STEP) + column + SLICE * (lane & 7);
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                int row = 4 * u + (lane >> 3);
                copy_bytes(&stage[row][slot(row, lane & 7)], places[u] + (k < width ? k / SLICE * 16 : 0), k < width);
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

#ifdef EMULATED
using emulator::select_bytes; using emulator::subtract_pairs; using emulator::multiply_pairs;
#else
__device__ __forceinline__ u32 select_bytes(u32 low, u32 high, u32 which) {
    u32 bytes; asm("prmt.b32 %0, %1, %2, %3;" : "=r"(bytes) : "r"(low), "r"(high), "r"(which)); return bytes;
}
template <class S> __device__ __forceinline__ u32 subtract_pairs(u32 a, u32 b);
template <> __device__ __forceinline__ u32 subtract_pairs<bf16>(u32 a, u32 b) {
    u32 c; asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(c) : "r"(b), "r"(0xbf80bf80u), "r"(a)); return c;
}
template <> __device__ __forceinline__ u32 subtract_pairs<f16>(u32 a, u32 b) {
    u32 c; asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(c) : "r"(a), "r"(b)); return c;
}
template <class S> __device__ __forceinline__ u32 multiply_pairs(u32 a, u32 b);
template <> __device__ __forceinline__ u32 multiply_pairs<bf16>(u32 a, u32 b) {
    u32 c; asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(c) : "r"(a), "r"(b), "r"(0x80008000u)); return c;
}
template <> __device__ __forceinline__ u32 multiply_pairs<f16>(u32 a, u32 b) {
    u32 c; asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(c) : "r"(a), "r"(b)); return c;
}
#endif
template <class S> struct Bits;
// MAGIC: a power of two M with steps of one up to 2M, so that MAGIC | n is M + n for n < 128. SHIFT: from e4m3 in the high byte to the type's
// place of exponent and mantissa; RAISE: what is then missing in the exponent.
template <> struct Bits<bf16> { static constexpr u32 MAGIC = 0x43434343u, SHIFT = 4, RAISE = 0x7b807b80u; };
template <> struct Bits<f16> { static constexpr u32 MAGIC = 0x64646464u, SHIFT = 1, RAISE = 0x5c005c00u; };

// Two bytes of a word, the first and second or the third and fourth, as two T.
__device__ __forceinline__ u32 two_numbers(u32 word, bool upper) {
    if (WEIGHT == 8) {
        u32 spread = select_bytes(word, Bits<T>::MAGIC, upper ? 0x4342u : 0x4140u);
        return subtract_pairs<T>(spread & 0xff7fff7fu, spread & 0xff80ff80u);       // (M + low seven bits) - (M + 128 or 0)
    }
    u32 spread = select_bytes(word, 0, upper ? 0x3424u : 0x1404u);
    return multiply_pairs<T>(((spread & 0x7f007f00u) >> Bits<T>::SHIFT) | (spread & 0x80008000u), Bits<T>::RAISE);
}

#if WEIGHT == 4
// All pairs of codes as pairs of T, by their byte, sixteen times over: the lanes of half a warp meet other banks.
typedef u32 PairTable[256][16];
__device__ __forceinline__ void fill(PairTable& table) {
    for (int byte = threadIdx.x; byte < 256; byte += 32 * WARPS) {
        u32 pair = join<T>(QUANTILES[byte >> 4], QUANTILES[byte & 15]);
        #pragma unroll
        for (int copy = 0; copy < 16; copy++) { table[byte][(copy + threadIdx.x) & 15] = pair; }
    }
}
__device__ __forceinline__ void find(const PairTable& table, u32 word, u32 (&w)[4]) {
    #pragma unroll
    for (int i = 0; i < 4; i++) { w[i] = table[word >> 8 * i & 255][threadIdx.x & 15]; }
}
#endif

#if WEIGHT == 4
// Finds the scales of a lane's row and block for one step after the other. A scale needs two reads, one by the other's result, so they are
// done one and two steps before it is needed.
struct ScaleReader {
    const Reader& reader;
    Scales scales;
    int tile, step, code;
    u64 row;
    float spread, mean;

    __device__ __forceinline__ void find_row() { row = (u64)reader.row_of(tile, reader.lane >> 2) * (reader.width / BLOCK); }
    __device__ __forceinline__ float next() {
        float scale = scales.map[code] * spread + mean;
        int k = step * (WARPS * STEP) + reader.column + BLOCK * (reader.lane & 3);
        bool there = tile < reader.tiles && k < reader.width;
        u64 block = row + k / BLOCK;
        code = there ? scales.codes[block] : 0;
        spread = there ? scales.spread[block / SCALES] : 0.0f;
        mean = there ? *scales.mean : 0.0f;
        if (++step == reader.steps) {
            step = 0;
            tile += gridDim.x;
            find_row();
        }
        return scale;
    }
};
#endif

// Calls finish(tile, partial) for each of the block's tiles, in every thread: partial[warp][row of W in the tile][row of x].
template <class Finish>
__device__ __forceinline__ void multiply(
    const T* x, const u8* weight, const u8* scale_codes, const float* map, const float* spread, const float* mean,
    int batch, int width, int rows, int half, const Finish& finish)
{
    __shared__ Stage ring[WARPS][AHEAD];
    __shared__ float partial[2][WARPS][8][9];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int steps = (width + WARPS * STEP - 1) / (WARPS * STEP);
    Reader reader = {weight, {weight, weight}, (int)blockIdx.x, 0, steps, warp * STEP, lane, width, rows, half, half ? (half + 3) / 4 : (rows + 7) / 8};
    reader.find_rows();
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) { reader.copy(ring[warp][a]); }
#if WEIGHT == 4
    __shared__ PairTable pairs;
    fill(pairs);
    __syncthreads();
    ScaleReader scales = {reader, {scale_codes, map, spread, mean}, (int)blockIdx.x, 0, 0, 0, 0.0f, 0.0f};
    scales.find_row();
    scales.next();
    float next_scale = scales.next();
#endif
    wait_for_previous();
    const T* input = x + (u64)(g < batch ? g : batch - 1) * width;        // rows past the end repeat the last; nobody reads their sums
    int parity = 0, stage = 0;
    for (int tile = blockIdx.x; tile < reader.tiles; tile += gridDim.x) {
        float c[2][4] = {{0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}};
        for (int step = 0; step < steps; step++) {
            int first = (step * WARPS + warp) * STEP;
#if WEIGHT == 4
            float scale = next_scale;
            next_scale = scales.next();
            uint4 v[4][2];
            #pragma unroll
            for (int b = 0; b < 4; b++) {
                int k = first + BLOCK * b + 16 * t;
                const uint4* from = (const uint4*)(input + (k < width ? k : 0));
                v[b][0] = from[0]; v[b][1] = from[1];
            }
#else
            uint4 v[2][2];
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                int k = first + 16 * t + 64 * u;
                const uint4* from = (const uint4*)(input + (k < width ? k : 0));
                v[u][0] = from[0]; v[u][1] = from[1];
            }
#endif
            wait_for_all_but<AHEAD - 1>();
            __syncwarp();                // what the other lanes copied is there too
#if WEIGHT == 4
            uint2 w[4];
            #pragma unroll
            for (int b = 0; b < 4; b++) { w[b] = ((const uint2*)&ring[warp][stage][g][slot(g, 2 * b + (t >> 1))])[t & 1]; }
#else
            uint4 w[2] = {ring[warp][stage][g][slot(g, t)], ring[warp][stage][g][slot(g, t + 4)]};
#endif
            __syncwarp();                // every lane has read: the stage may be filled again
            reader.copy(ring[warp][stage]);
            stage = stage + 1 == AHEAD ? 0 : stage + 1;
            // The rows of x are the left side's first eight; the others are zero. Past the end of x, weights or scales are zero.
#if WEIGHT == 4
            #pragma unroll
            for (int b = 0; b < 4; b++) {
                u32 near[4], far[4];
                find(pairs, w[b].x, near);
                find(pairs, w[b].y, far);
                float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                multiply_add<T>(d, v[b][0].x, 0, v[b][0].y, 0, near[0], near[1]);
                multiply_add<T>(d, v[b][0].z, 0, v[b][0].w, 0, near[2], near[3]);
                multiply_add<T>(d, v[b][1].x, 0, v[b][1].y, 0, far[0], far[1]);
                multiply_add<T>(d, v[b][1].z, 0, v[b][1].w, 0, far[2], far[3]);
                c[0][0] += d[0] * __shfl_sync(ALL_LANES, scale, 8 * t + b);
                c[0][1] += d[1] * __shfl_sync(ALL_LANES, scale, 8 * t + 4 + b);
            }
#else
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                multiply_add<T>(c[u], v[u][0].x, 0, v[u][0].y, 0, two_numbers(w[u].x, false), two_numbers(w[u].x, true));
                multiply_add<T>(c[u], v[u][0].z, 0, v[u][0].w, 0, two_numbers(w[u].y, false), two_numbers(w[u].y, true));
                multiply_add<T>(c[u], v[u][1].x, 0, v[u][1].y, 0, two_numbers(w[u].z, false), two_numbers(w[u].z, true));
                multiply_add<T>(c[u], v[u][1].z, 0, v[u][1].w, 0, two_numbers(w[u].w, false), two_numbers(w[u].w, true));
            }
#endif
        }
        if (tile + gridDim.x >= reader.tiles) { let_next_start(); }
        partial[parity][warp][2 * t][g] = c[0][0] + c[1][0];
        partial[parity][warp][2 * t + 1][g] = c[0][1] + c[1][1];
        __syncthreads();
        finish(tile, partial[parity]);
        parity ^= 1;                     // the other half may be written at once: its readers have passed this barrier
    }
}

// row of the tile, output: its number in W, for the scale of a row.
__device__ __forceinline__ float sum_of(const float (&partial)[WARPS][8][9], int row, int column, const float* scales, int output)
{
    float sum = 0.0f;
    #pragma unroll
    for (int w = 0; w < WARPS; w++) { sum += partial[w][row][column]; }
    return WEIGHT == 4 ? sum : sum * scales[output];
}

// nf4 has scale_codes, map, spread and mean; others have spread: a scale for each output. bias [outputs] and residual [batch, outputs] may
// be null.
extern "C" __global__ void __launch_bounds__(128, 6) project(
    const T* x, const u8* weight, const u8* scale_codes, const float* map, const float* spread, const float* mean,
    const T* bias, const T* residual, T* y, int batch, int width, int outputs)
{
    multiply(x, weight, scale_codes, map, spread, mean, batch, width, outputs, 0, [&](int tile, const float (&partial)[WARPS][8][9]) {
        int row = threadIdx.x % 8, column = threadIdx.x / 8, output = tile * 8 + row;
        if (column < batch && output < outputs) {
            float sum = sum_of(partial, row, column, spread, output);
            if (bias) { sum += widen(bias[output]); }
            u64 place = (u64)column * outputs + output;
            y[place] = narrow<T>(residual ? sum + widen(residual[place]) : sum);
        }
    });
}

// y [batch, half] = silu(gate) * up, where W's first half rows give gate and the others up.
extern "C" __global__ void __launch_bounds__(128, 6) project_swiglu(
    const T* x, const u8* weight, const u8* scale_codes, const float* map, const float* spread, const float* mean,
    T* y, int batch, int width, int half)
{
    multiply(x, weight, scale_codes, map, spread, mean, batch, width, 2 * half, half, [&](int tile, const float (&partial)[WARPS][8][9]) {
        int row = threadIdx.x % 4, column = threadIdx.x / 4, output = tile * 4 + row;
        if (column < batch && output < half) {
            float gate = rounded(sum_of(partial, row, column, spread, output)), up = rounded(sum_of(partial, row + 4, column, spread, half + output));
            y[(u64)column * half + output] = narrow<T>(gate * sigmoid(gate) * up);
        }
    });
}
