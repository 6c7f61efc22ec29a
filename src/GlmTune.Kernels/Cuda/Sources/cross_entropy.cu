// Softmax cross-entropy of one row of logits a block, with the gradient written over the logits. The first pass keeps a running maximum
// and a sum scaled to it; the second goes backwards, so that it meets in the cache what the first read last. A row whose target is below
// 0 counts nothing. The scale is by value, or in memory.
extern "C" __global__ void __launch_bounds__(1024) cross_entropy(T* logits, const long long* targets, float* losses, int width, const float* stored_scale, float scale)
{
    scale = stored_scale ? *stored_scale : scale;
    T* row = logits + (u64)blockIdx.x * width;
    int target = (int)targets[blockIdx.x];
    int packs = width / VEC;
    float maximum = negative_infinity(), sum = 0.0f;
    for (int pack = threadIdx.x; pack < packs; pack += blockDim.x) {
        Pack v = load(row + pack * VEC);
        float highest = v.at[0];
        #pragma unroll
        for (int i = 1; i < VEC; i++) { highest = fmaxf(highest, v.at[i]); }
        if (highest == negative_infinity()) { continue; }       // adds nothing; its difference to the maximum may be no number
        if (highest > maximum) { sum *= __expf(maximum - highest); maximum = highest; }
        #pragma unroll
        for (int i = 0; i < VEC; i++) { sum += __expf(v.at[i] - maximum); }
    }
    __shared__ float maxima[32];
    float highest = maximum;
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) { highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, offset)); }
    if ((threadIdx.x & 31) == 0) { maxima[threadIdx.x >> 5] = highest; }
    float target_logit = widen(row[target < 0 ? 0 : target]);
    __syncthreads();
    for (int i = 0; i < (int)(blockDim.x >> 5); i++) { highest = fmaxf(highest, maxima[i]); }
    sum = block_sum(maximum == negative_infinity() ? sum : sum * __expf(maximum - highest));
    if (threadIdx.x == 0) { losses[blockIdx.x] = target < 0 ? 0.0f : logf(sum) + highest - target_logit; }
    scale = target < 0 ? 0.0f : scale;
    float inverse = 1.0f / sum;
    int rounds = (packs + blockDim.x - 1) / blockDim.x;
    for (int round = rounds - 1; round >= 0; round--) {
        int pack = threadIdx.x + round * blockDim.x;
        if (pack < packs) {
            Pack v = load(row + pack * VEC);
            #pragma unroll
            for (int i = 0; i < VEC; i++) {
                float probability = __expf(v.at[i] - highest) * inverse;
                v.at[i] = (probability - (pack * VEC + i == target ? 1.0f : 0.0f)) * scale;
            }
            store(row + pack * VEC, v);
        }
    }
}
