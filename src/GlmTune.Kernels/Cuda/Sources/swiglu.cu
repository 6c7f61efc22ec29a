// silu(gate) * up on rows [gate, up] of 2 * width. A block takes a row and a stretch of it.
extern "C" __global__ void __launch_bounds__(256) swiglu(const T* gate_up, T* output, int width)
{
    wait_for_previous();
    let_next_start();
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * VEC;
    if (column >= width) { return; }
    u64 row = blockIdx.x;
    Pack gate = load(gate_up + row * 2 * width + column);
    Pack up = load(gate_up + row * 2 * width + width + column);
    #pragma unroll
    for (int i = 0; i < VEC; i++) { up.at[i] *= gate.at[i] * sigmoid(gate.at[i]); }
    store(output + row * width + column, up);
}

// result may be gate_up itself.
extern "C" __global__ void __launch_bounds__(256) swiglu_backward(const T* gradient, const T* gate_up, T* result, int width)
{
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * VEC;
    if (column >= width) { return; }
    u64 row = blockIdx.x;
    Pack outer = load(gradient + row * width + column);
    Pack gate = load(gate_up + row * 2 * width + column);
    Pack up = load(gate_up + row * 2 * width + width + column);
    #pragma unroll
    for (int i = 0; i < VEC; i++) {
        float s = sigmoid(gate.at[i]), silu = gate.at[i] * s;
        gate.at[i] = outer.at[i] * up.at[i] * (s + silu * (1.0f - s));
        up.at[i] = outer.at[i] * silu;
    }
    store(result + row * 2 * width + column, gate);
    store(result + row * 2 * width + width + column, up);
}
