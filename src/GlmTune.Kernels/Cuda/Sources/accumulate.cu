// sum += addend, rounded stochastically, so that many small addends are not lost in a bfloat16 sum. For start, key and salt see
// compact_adamw.cu. A thread takes eight elements.
extern "C" __global__ void __launch_bounds__(256) accumulate(
    bf16* sum, const T* addend, u64 count, int vector, u32 start, u32 key, u32 salt)
{
    u64 from = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    key = random_word(salt, key);
    if (vector && from + 8 <= count) {
        float4 a = load4(sum + from), b = load4(sum + from + 4), x = load4(addend + from), y = load4(addend + from + 4);
        float v[8] = {a.x + x.x, a.y + x.y, a.z + x.z, a.w + x.w, b.x + y.x, b.y + y.y, b.z + y.z, b.w + y.w};
        u32 bits[8];
        #pragma unroll
        for (int i = 0; i < 8; i++) { bits[i] = rounded_up_or_down(v[i], random_word(start + (u32)from + i, key)); }
        uint4 raw;
        raw.x = bits[0] | (bits[1] << 16); raw.y = bits[2] | (bits[3] << 16);
        raw.z = bits[4] | (bits[5] << 16); raw.w = bits[6] | (bits[7] << 16);
        *(uint4*)(sum + from) = raw;
        return;
    }
    for (u64 i = from; i < count && i < from + 8; i++) {
        sum[i].bits = (u16)rounded_up_or_down(widen(sum[i]) + widen(addend[i]), random_word(start + (u32)i, key));
    }
}
