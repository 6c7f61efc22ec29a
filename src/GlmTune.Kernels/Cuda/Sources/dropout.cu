extern "C" __global__ void __launch_bounds__(256) dropout(const T* x, T* output, u64 count, const u32* stored, u32 key, u32 threshold, float scale)
{
    key = stored ? *stored : key;
    u64 start = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
    if (start + VEC <= count) {
        Pack v = load(x + start);
        #pragma unroll
        for (int i = 0; i < VEC; i++) { v.at[i] = kept((u32)start + i, key, threshold) ? v.at[i] * scale : 0.0f; }
        store(output + start, v);
    } else {
        for (u64 i = start; i < count; i++) { output[i] = narrow<T>(kept((u32)i, key, threshold) ? widen(x[i]) * scale : 0.0f); }
    }
}
