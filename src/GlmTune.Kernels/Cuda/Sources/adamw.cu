// AdamW over a flat run; COMPUTE is the type of the optional copy that the next forward pass uses. A thread takes four elements.
struct Step { float beta1, beta2, epsilon, shrink, rate, inverse_correction2; };

__device__ __forceinline__ void update(float& master, float gradient, float& first, float& second, const Step& s)
{
    first = s.beta1 * first + (1.0f - s.beta1) * gradient;
    second = s.beta2 * second + (1.0f - s.beta2) * gradient * gradient;
    master = master * s.shrink - s.rate * (first / (sqrtf(second * s.inverse_correction2) + s.epsilon));
}

// shrink = 1 - learning rate * weight decay; rate = learning rate / (1 - beta1^step); inverse_correction2 = 1 / (1 - beta2^step).
// The last three are by value, or in memory. vector: whether every run starts on a 16-byte boundary (8 for two-byte types).
extern "C" __global__ void __launch_bounds__(256) adamw(
    float* master, const T* gradient, float* first, float* second, const float* gradient_scale, COMPUTE* compute, u64 count, int vector,
    float beta1, float beta2, float epsilon, const float* stored, float shrink, float rate, float inverse_correction2)
{
    Step s = {beta1, beta2, epsilon, stored ? stored[0] : shrink, stored ? stored[1] : rate, stored ? stored[2] : inverse_correction2};
    float scale = *gradient_scale;
    u64 start = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (vector && start + 4 <= count) {
        float4 p = load4(master + start), m = load4(first + start), v = load4(second + start), g = load4(gradient + start);
        update(p.x, g.x * scale, m.x, v.x, s);
        update(p.y, g.y * scale, m.y, v.y, s);
        update(p.z, g.z * scale, m.z, v.z, s);
        update(p.w, g.w * scale, m.w, v.w, s);
        store4(master + start, p);
        store4(first + start, m);
        store4(second + start, v);
        if (compute) { store4(compute + start, p); }
    } else {
        for (u64 i = start; i < count && i < start + 4; i++) {
            update(master[i], widen(gradient[i]) * scale, first[i], second[i], s);
            if (compute) { compute[i] = narrow<COMPUTE>(master[i]); }
        }
    }
}
