// The 4-bit type nf4 (Dettmers et al., QLoRA, arXiv:2305.14314, appendix E): sixteen quantiles of the normal distribution. A byte holds two
// codes, the first in its high half. Blocks of 64 numbers share a scale, which is itself an 8-bit code:
//   scale = map[code] * spread[block / 256] + *mean
constexpr int BLOCK = 64, SCALES = 256;

__constant__ float QUANTILES[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

struct Scales {
    const unsigned char* codes;
    const float* map;
    const float* spread;
    const float* mean;
    __device__ __forceinline__ float of(u64 block) const { return map[codes[block]] * spread[block / SCALES] + *mean; }
};
