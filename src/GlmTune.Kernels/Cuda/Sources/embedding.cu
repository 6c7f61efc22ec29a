// target[id] += the gradients of the tokens with that id. ids is sorted and order says where each came from; the block at the first of a
// run of equal ids takes the run, in order, so that the sum is always the same.
extern "C" __global__ void __launch_bounds__(256) embedding_backward(
    const T* gradient, const long long* ids, const long long* order, COMPUTE* target, int tokens, int width)
{
    int first = blockIdx.x;
    long long id = ids[first];
    if (first > 0 && ids[first - 1] == id) { return; }
    for (int column = threadIdx.x * 4; column < width; column += blockDim.x * 4) {
        COMPUTE* place = target + id * width + column;
        float4 sum = load4(place);
        for (int i = first; i < tokens && ids[i] == id; i++) {
            float4 g = load4(gradient + order[i] * width + column);
            sum.x += g.x; sum.y += g.y; sum.z += g.z; sum.w += g.w;
        }
        store4(place, sum);
    }
}

// A block takes a token. The table may lie in page-locked memory of the host.
extern "C" __global__ void __launch_bounds__(256) token_rows(const T* table, const long long* ids, T* output, int width)
{
    const uint4* from = (const uint4*)(table + ids[blockIdx.x] * width);
    uint4* to = (uint4*)(output + (u64)blockIdx.x * width);
    for (int piece = threadIdx.x; piece < width / VEC; piece += blockDim.x) { to[piece] = from[piece]; }
}
