// Root-mean-square norm. A block takes a row; each thread keeps up to PACKS 16-byte pieces of it in registers, so that the row is read
// once. Piece k of a thread is number threadIdx.x + k * blockDim.x.

// delta and sum are null for the plain norm; else sum = x + delta is normalised and written as well.
extern "C" __global__ void __launch_bounds__(512) rms_norm(
    const T* x, const T* delta, const T* weight, T* sum, T* output, float* inverse_rms, int width, float epsilon)
{
    wait_for_previous();
    u64 row = (u64)blockIdx.x * width;
    int packs = width / VEC;
    Pack kept[PACKS];
    float squares = 0.0f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            kept[k] = load(x + row + pack * VEC);
            if (delta) {
                Pack added = load(delta + row + pack * VEC);
                #pragma unroll
                for (int i = 0; i < VEC; i++) { kept[k].at[i] = rounded(kept[k].at[i] + added.at[i]); }
                store(sum + row + pack * VEC, kept[k]);
            }
            #pragma unroll
            for (int i = 0; i < VEC; i++) { squares += kept[k].at[i] * kept[k].at[i]; }
        }
    }
    let_next_start();
    float inverse = rsqrtf(block_sum(squares) / width + epsilon);
    if (threadIdx.x == 0) { inverse_rms[blockIdx.x] = inverse; }
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = threadIdx.x + k * blockDim.x;
        if (pack < packs) {
            Pack scale = load(weight + pack * VEC);
            #pragma unroll
            for (int i = 0; i < VEC; i++) { kept[k].at[i] = kept[k].at[i] * inverse * scale.at[i]; }
            store(output + row + pack * VEC, kept[k]);
        }
    }
}

// With WEIGHT, weight_partial [gridDim.x, width] gets each block's part of the weight's gradient.
template <bool WEIGHT>
__device__ __forceinline__ void backward(
    const T* gradient, const T* x, const T* weight, const float* inverse_rms, const T* residual, T* result, float* weight_partial,
    int rows, int width)
{
    int packs = width / VEC;
    Pack weight_sum[PACKS];
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
        #pragma unroll
        for (int i = 0; i < VEC; i++) { weight_sum[k].at[i] = 0.0f; }
    }
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        u64 row = (u64)r * width;
        float inverse = inverse_rms[r];
        Pack normalised[PACKS], weighted[PACKS];
        float along = 0.0f;
        #pragma unroll
        for (int k = 0; k < PACKS; k++) {
            int pack = threadIdx.x + k * blockDim.x;
            if (pack < packs) {
                normalised[k] = load(x + row + pack * VEC);
                weighted[k] = load(gradient + row + pack * VEC);
                Pack scale = load(weight + pack * VEC);
                #pragma unroll
                for (int i = 0; i < VEC; i++) {
                    normalised[k].at[i] *= inverse;
                    if (WEIGHT) { weight_sum[k].at[i] += weighted[k].at[i] * normalised[k].at[i]; }
                    weighted[k].at[i] *= scale.at[i];
                    along += weighted[k].at[i] * normalised[k].at[i];
                }
            }
        }
        along = block_sum(along) / width;
        #pragma unroll
        for (int k = 0; k < PACKS; k++) {
            int pack = threadIdx.x + k * blockDim.x;
            if (pack < packs) {
                #pragma unroll
                for (int i = 0; i < VEC; i++) { weighted[k].at[i] = (weighted[k].at[i] - normalised[k].at[i] * along) * inverse; }
                if (residual) {
                    Pack past = load(residual + row + pack * VEC);
                    #pragma unroll
                    for (int i = 0; i < VEC; i++) { weighted[k].at[i] += past.at[i]; }
                }
                store(result + row + pack * VEC, weighted[k]);
            }
        }
    }
    if (WEIGHT) {
        #pragma unroll
        for (int k = 0; k < PACKS; k++) {
            int pack = threadIdx.x + k * blockDim.x;
            if (pack < packs) {
                float* target = weight_partial + (u64)blockIdx.x * width + pack * VEC;
                #pragma unroll
                for (int i = 0; i < VEC; i++) { target[i] = weight_sum[k].at[i]; }
            }
        }
    }
}

// residual may be null.
extern "C" __global__ void __launch_bounds__(512) rms_norm_backward(
    const T* gradient, const T* x, const T* weight, const float* inverse_rms, const T* residual, T* result, int rows, int width)
{
    backward<false>(gradient, x, weight, inverse_rms, residual, result, 0, rows, width);
}

extern "C" __global__ void __launch_bounds__(512) rms_norm_backward_weight(
    const T* gradient, const T* x, const T* weight, const float* inverse_rms, const T* residual, T* result, float* weight_partial,
    int rows, int width)
{
    backward<true>(gradient, x, weight, inverse_rms, residual, result, weight_partial, rows, width);
}
