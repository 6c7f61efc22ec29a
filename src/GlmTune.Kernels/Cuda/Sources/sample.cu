// One token of each row of logits, by the row's own rules; LayerKernels.Sample defines what is drawn. One block of 1024 threads a row.
//
// Weights are integers, so sums do not depend on their order: 2^46 for the most likely token, 2^(46 + y) at y = (score - highest) * scale
// below it. Logits are read again in every pass, from the L2 cache. Top-k and top-p look for the lowest score that stays, digit by digit
// of its bits, among the candidates if they fit into a list. The token is found in passes too: the part of the row, the part of
// the part, and so on.

struct Row {            // As Sampling.Row in C#.
    u64 random;         // any 64 bits
    double nucleus;     // top-p; 1: off
    u64 least;          // min-p, as a weight; 0: off
    float scale;        // log2(e) / temperature; 0: the most likely token
    float repetition;   // 1: off
    float presence;     // 0: off
    float frequency;    // 0: off
    int most;           // top-k; 0: off
    int logits;         // row of the logits
    int first_edit;
    int edits;
    int mask;           // which mask; -1: none
    int pending;        // 1: the answer has got one more token, the one in drawn, since its edits were written
};

struct Edit {           // A token whose score is not its logit. Every id occurs once.
    int id;
    float bias;
    int count;          // occurrences in the answer
    int seen;           // 1: in prompt or answer
};

constexpr int THREADS = 1024;
constexpr int WARPS = THREADS / 32;
constexpr int BINS = 2048;
constexpr int LISTED = 2048;
constexpr int WORDS = 163840 / 32;      // of the most tokens
constexpr float LOWEST = -47.0f;        // Below, weights are 0.
constexpr int PLACES = 22;              // of the highest weight beyond its digits
constexpr int OCTAVE = 42;              // coarse bins of a power of two; 48 of them fit into BINS

// Lanes of 64 bits.
__device__ __forceinline__ u64 from_lane(u64 value, int lane) {
    u32 low = __shfl_sync(ALL_LANES, (u32)value, lane), high = __shfl_sync(ALL_LANES, (u32)(value >> 32), lane);
    return ((u64)high << 32) | low;
}
__device__ __forceinline__ u64 sum_of_warp(u64 value) {
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) { value += from_lane(value, (threadIdx.x & 31) ^ offset); }
    return value;
}
// Sum of this lane and those before it.
__device__ __forceinline__ u64 sum_up_to_lane(u64 value) {
    int lane = threadIdx.x & 31;
    #pragma unroll
    for (int offset = 1; offset < 32; offset <<= 1) {
        u64 other = from_lane(value, lane >= offset ? lane - offset : lane);
        if (lane >= offset) { value += other; }
    }
    return value;
}

// Bits that are ordered as the numbers are; 0 and -0 have the same.
__device__ __forceinline__ u32 key_of(float x) {
    u32 bits = __float_as_uint(__fadd_rn(x, 0.0f));
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}
__device__ __forceinline__ float score_of(u32 key) { return __uint_as_float(key ^ (key >> 31 ? 0x80000000u : 0xffffffffu)); }

__device__ __forceinline__ void take_larger(float& value, int& index, float other, int other_index) {
    bool nan = value != value;
    bool other_nan = other != other;
    bool larger = other_nan ? !nan : other > value;
    bool equal = other_nan ? nan : other == value;
    if (larger || (equal && other_index < index)) { value = other; index = other_index; }
}

struct Shared {
    u64 bins[BINS];
    u32 list[LISTED];
    u32 blocked[WORDS];                 // Tokens that the scan of the logits passes over: masked ones, and those of the edits.
    u64 sums[WARPS];
    u32 ties[WARPS];
    float values[WARPS];
    int indices[WARPS];
    float own[VEC];                     // Scores of edited tokens of one pack; -infinity: none.
    u64 found;
    u64 above;
    u32 bin;
    u32 listed;
    int part;
    int pending;                        // The token of Row.pending; -1: none.
    int extra;                          // The same, if no edit is its; otherwise -1.
};

// A row with its rules.
struct Scores {
    const T* logits;
    const Row& row;
    const Edit* edits;
    const u32* mask;                    // null: none
    Shared& shared;
    int count;
    int packs;                          // a warp's share of them
    int number;                         // edits, with the pending token's
    bool passes_over;
    float highest;

    __device__ __forceinline__ bool allows(int id) const { return !mask || (mask[id >> 5] >> (id & 31) & 1); }

    __device__ __forceinline__ float edited(const Edit& edit) const {
        int count = edit.count, seen = edit.seen;
        if (edit.id == shared.pending) { count++; seen = 1; }
        float s = __fadd_rn(widen(logits[edit.id]), edit.bias);
        if (seen && row.repetition != 1.0f) { s = s < 0.0f ? __fmul_rn(s, row.repetition) : __fdiv_rn(s, row.repetition); }
        if (count > 0) { s = __fsub_rn(s, row.presence); s = __fsub_rn(s, __fmul_rn(row.frequency, (float)count)); }
        return s;
    }

    // The edit at an index; the one after the last is that of a pending token that has none.
    __device__ __forceinline__ Edit edit(int index) const {
        if (index < row.edits) { return edits[row.first_edit + index]; }
        Edit last = {shared.extra, 0.0f, 0, 0};
        return last;
    }

    // Calls a function with the score and the id of each token of some packs: this warp's lanes share them.
    template <class F> __device__ __forceinline__ void of_warp(int first, int end, F use) const {
        for (int pack = first + (threadIdx.x & 31); pack < end; pack += 32) {
            Pack v = load(logits + pack * VEC);
            u32 blocked = passes_over ? shared.blocked[pack * VEC >> 5] >> (pack * VEC & 31) : 0;
            int left = count - pack * VEC;
            #pragma unroll
            for (int i = 0; i < VEC; i++) {
                if (i < left && !(blocked >> i & 1)) { use(v.at[i], pack * VEC + i); }
            }
        }
    }

    template <class F> __device__ __forceinline__ void of_edits(F use) const {
        for (int i = threadIdx.x; i < number; i += THREADS) {
            Edit one = edit(i);
            if ((u32)one.id < (u32)count && allows(one.id)) { use(edited(one), one.id); }
        }
    }

    template <class F> __device__ __forceinline__ void of_all(F use) const {
        int warp = threadIdx.x >> 5, all = (count + VEC - 1) / VEC;
        of_warp(warp * packs, min((warp + 1) * packs, all), use);
        of_edits(use);
    }

    template <class F> __device__ __forceinline__ void of_list(F use) const {
        for (u32 i = threadIdx.x; i < shared.listed; i += THREADS) { use(score_of(shared.list[i]), 0); }
    }

    // 2^y as digits and places: digits * 2^whole / 4, in units of the weights. False: 0.
    __device__ __forceinline__ bool power(float s, u32& digits, int& whole, float& x) const {
        float y = __fmul_rn(__fsub_rn(s, highest), row.scale);
        if (!(y > LOWEST)) { return false; }
        const float shift = 12582912.0f;                    // adding it rounds to an integer
        float shifted = __fadd_rn(y, shift);
        whole = (int)(__float_as_uint(shifted) - __float_as_uint(shift));
        x = __fsub_rn(y, __fsub_rn(shifted, shift));        // 2^x by its series
        float p = 1.5252734e-5f;
        p = __fmaf_rn(p, x, 1.5403530e-4f);
        p = __fmaf_rn(p, x, 1.3333558e-3f);
        p = __fmaf_rn(p, x, 9.6181291e-3f);
        p = __fmaf_rn(p, x, 5.5504109e-2f);
        p = __fmaf_rn(p, x, 2.4022651e-1f);
        p = __fmaf_rn(p, x, 6.9314718e-1f);
        p = __fmaf_rn(p, x, 1.0f);
        digits = (u32)__fmul_rn(p, 16777216.0f);
        return true;
    }

    __device__ __forceinline__ u64 weight(float s) const {
        u32 digits;
        int whole;
        float x;
        if (!power(s, digits, whole, x)) { return 0; }
        int places = PLACES + whole;
        return places >= 0 ? (u64)digits << places : (u64)(digits >> -places);
    }

    // Scores in coarse bins, the highest first: each covers a part of a power of two. -1: the weight is 0.
    __device__ __forceinline__ int coarse_bin(float s) const {
        float y = __fmul_rn(__fsub_rn(s, highest), row.scale);
        if (!(y > LOWEST)) { return -1; }
        const float shift = 12582912.0f;
        float shifted = __fadd_rn(y, shift);
        return bin_of((int)(__float_as_uint(shifted) - __float_as_uint(shift)), __fsub_rn(y, __fsub_rn(shifted, shift)));
    }
    __device__ __forceinline__ int bin_of(int whole, float x) const {
        return -whole * OCTAVE + min((int)__fmul_rn(__fsub_rn(0.5f, x), (float)OCTAVE), OCTAVE - 1);
    }

    // Sum of weights of the tokens that a function calls its argument with; in every thread.
    template <class Each> __device__ __forceinline__ u64 total(Each each) const {
        u64 sum = 0;
        each([&](float s, int) { sum += weight(s); });
        return of_block(sum);
    }

    __device__ __forceinline__ u64 of_block(u64 sum) const {
        sum = sum_of_warp(sum);
        __syncthreads();
        if ((threadIdx.x & 31) == 0) { shared.sums[threadIdx.x >> 5] = sum; }
        __syncthreads();
        return sum_of_warp(shared.sums[threadIdx.x & 31]);
    }

    // Among bins in order, two a thread: the one in which what is above them reaches the target.
    __device__ __forceinline__ void choose_bin(u64 first, u64 second, int first_bin, int second_bin, u64 above, u64 target) const {
        int warp = threadIdx.x >> 5;
        u64 both = first + second, up_to = sum_up_to_lane(both);
        __syncthreads();
        if (threadIdx.x == 0) { shared.bin = BINS; }
        if ((threadIdx.x & 31) == 31) { shared.sums[warp] = up_to; }
        __syncthreads();
        u64 warps = sum_up_to_lane(shared.sums[threadIdx.x & 31]);
        u64 before = above + up_to - both + (warp > 0 ? from_lane(warps, warp > 0 ? warp - 1 : 0) : 0);
        if (before < target && before + both >= target) {
            bool is_first = before + first >= target;
            shared.bin = is_first ? first_bin : second_bin;
            shared.above = is_first ? before : before + first;
        }
        __syncthreads();
    }

    // The highest key for which the tokens at or above it measure at least as much as the target. Above is what others measure,
    // which are above all of these; then also what those above the key measure. 0 if all measure less. A token's measure is its
    // weight, or 1.
    template <bool WEIGHTS, class Each> __device__ u32 cut(Each each, u64 target, u64& above) const {
        u32 prefix = 0, decided = 0;
        #pragma unroll 1
        for (int shift = 21; ; shift = shift == 21 ? 10 : 0) {
            __syncthreads();
            for (int i = threadIdx.x; i < BINS; i += THREADS) { shared.bins[i] = 0; }
            __syncthreads();
            each([&](float s, int) {
                u32 key = key_of(s);
                if ((key & decided) == prefix && s > negative_infinity()) {
                    u64 measure = WEIGHTS ? weight(s) : 1;
                    if (measure) { atomicAdd(&shared.bins[key >> shift & (BINS - 1)], measure); }
                }
            });
            __syncthreads();
            int top = BINS - 1 - 2 * threadIdx.x;
            choose_bin(shared.bins[top], shared.bins[top - 1], top, top - 1, above, target);
            if (shared.bin == BINS) { return 0; }
            above = shared.above;
            prefix |= shared.bin << shift;
            decided |= (u32)(BINS - 1) << shift;
            if (shift == 0) { return prefix; }
        }
    }

    // The same for weights that reach a share of their sum. Where many tokens are in few bins, adding to a bin is slow; bins of
    // scores part them better than bits do, and numbers of 32 bits are added faster. Within the bin, by bits.
    template <class Each> __device__ u32 cut_by_share(Each each, double share, u64& target, u64& above) const {
        u32* low = (u32*)shared.bins;
        u32* high = low + BINS;
        __syncthreads();
        for (int i = threadIdx.x; i < BINS; i += THREADS) { shared.bins[i] = 0; }
        __syncthreads();
        each([&](float s, int) {
            u32 digits;
            int whole;
            float x;
            if (power(s, digits, whole, x)) {
                int bin = bin_of(whole, x), lost = max(0, -PLACES - whole);
                digits >>= lost;
                atomicAdd(&low[bin], digits & 0xfff);
                atomicAdd(&high[bin], digits >> 12);
            }
        });
        __syncthreads();
        u64 two[2];
        for (int i = 0; i < 2; i++) {
            int bin = 2 * threadIdx.x + i;
            two[i] = (((u64)high[bin] << 12) + low[bin]) << max(0, PLACES - bin / OCTAVE);
        }
        target = target_of(share, of_block(two[0] + two[1]));
        choose_bin(two[0], two[1], 2 * threadIdx.x, 2 * threadIdx.x + 1, 0, target);
        int bin = (int)shared.bin;
        above = shared.above;
        return cut<true>([&](auto use) { each([&](float s, int id) { if (coarse_bin(s) == bin) { use(s, id); } }); }, target, above);
    }

    __device__ __forceinline__ u64 target_of(double share, u64 total) const {
        u64 target = (u64)ceil(share * (double)total);
        return target < 1 ? 1 : target > total ? total : target;
    }

    // Lists the keys of the tokens that score at least so much. False: there are too many.
    __device__ __forceinline__ bool list_from(float least) const {
        __syncthreads();
        if (threadIdx.x == 0) { shared.listed = 0; }
        __syncthreads();
        of_all([&](float s, int) {
            if (s >= least && s > negative_infinity()) {
                u32 at = atomicAdd(&shared.listed, 1u);
                if (at < LISTED) { shared.list[at] = key_of(s); }
            }
        });
        __syncthreads();
        return shared.listed <= LISTED;
    }
};

extern "C" __global__ void __launch_bounds__(1024) sample(const T* logits, const char* table, long long* drawn, long long* ids,
    double* result, int stride, int count, long long edits_at, long long masks_at, int mask_words)
{
    const Row* rows = (const Row*)table;
    const Edit* edits = (const Edit*)(table + edits_at);
    const u32* masks = (const u32*)(table + masks_at);
    __shared__ Shared shared;
    __shared__ Row row;
    int thread = threadIdx.x, warp = thread >> 5, lane = thread & 31;
    if (thread < (int)(sizeof(Row) / 4)) { ((u32*)&row)[thread] = ((const u32*)(rows + blockIdx.x))[thread]; }
    __syncthreads();
    int all = (count + VEC - 1) / VEC;
    Scores scores = {logits + (u64)row.logits * stride, row, edits, row.mask >= 0 ? masks + (u64)row.mask * mask_words : nullptr, shared,
        count, (all + WARPS - 1) / WARPS, row.edits + row.pending, row.mask >= 0 || row.edits + row.pending > 0, 0.0f};
    if (thread == 0) { shared.pending = shared.extra = row.pending ? (int)drawn[blockIdx.x] : -1; }
    if (scores.passes_over) {
        for (int i = thread; i < (count + 31) / 32; i += THREADS) { shared.blocked[i] = scores.mask ? ~scores.mask[i] : 0; }
        __syncthreads();
        for (int i = thread; i < row.edits; i += THREADS) {
            int id = edits[row.first_edit + i].id;
            if ((u32)id < (u32)count) { atomicOr(&shared.blocked[id >> 5], 1u << (id & 31)); }
            if (id == shared.pending) { shared.extra = -1; }
        }
        __syncthreads();
        int id = shared.extra;
        if (thread == 0 && (u32)id < (u32)count) { shared.blocked[id >> 5] |= 1u << (id & 31); }
    }
    __syncthreads();

    // The most likely token.
    float value = negative_infinity();
    int index = 0x7fffffff;
    // Ids ascend within a thread, so an equal score changes nothing; of NaN nothing is true.
    scores.of_warp(warp * scores.packs, min((warp + 1) * scores.packs, all), [&](float s, int id) {
        if (!(s <= value)) { take_larger(value, index, s, id); }
    });
    scores.of_edits([&](float s, int id) { take_larger(value, index, s, id); });
    float own = value;
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        float other = __shfl_xor_sync(ALL_LANES, value, offset);
        int other_index = __shfl_xor_sync(ALL_LANES, index, offset);
        take_larger(value, index, other, other_index);
    }
    if (lane == 0) { shared.values[warp] = value; shared.indices[warp] = index; }
    __syncthreads();
    value = shared.values[lane];
    index = shared.indices[lane];
    #pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        float other = __shfl_xor_sync(ALL_LANES, value, offset);
        int other_index = __shfl_xor_sync(ALL_LANES, index, offset);
        take_larger(value, index, other, other_index);
    }
    scores.highest = value;
    if (index == 0x7fffffff) { index = -1; }

    bool finite = value - value == 0.0f;
    if (row.scale != 0.0f && finite) {
        // What stays: scores above the cut, and so many of those equal to it, by ascending ids.
        u32 cut = 0, ties = 0xffffffffu;
        u64 above = 0;
        bool listed = false;
        if (row.most > 0 && row.most < count) {
            if (row.most <= THREADS / 2) {
                // So many threads have found a score at or above the bound, so many tokens at least are above it.
                u32 bound = scores.cut<false>([&](auto use) { use(own, 0); }, row.most, above);
                listed = scores.list_from(bound > 0 ? score_of(bound) : negative_infinity());
            }
            above = 0;
            cut = listed ? scores.cut<false>([&](auto use) { scores.of_list(use); }, row.most, above)
                : scores.cut<false>([&](auto use) { scores.of_all(use); }, row.most, above);
        }
        if (row.nucleus < 1.0) {
            u32 least = cut;
            auto kept = [&](auto use) {
                auto if_kept = [&](float s, int id) { if (key_of(s) >= least) { use(s, id); } };
                if (listed) { scores.of_list(if_kept); } else { scores.of_all(if_kept); }
            };
            u64 target;
            above = 0;
            if (listed) {
                target = scores.target_of(row.nucleus, scores.total(kept));
                cut = scores.cut<true>(kept, target, above);
            } else {
                cut = scores.cut_by_share(kept, row.nucleus, target, above);
            }
            u64 one = scores.weight(score_of(cut));
            ties = (u32)((target - above + one - 1) / one);
        }

        // Where the token is: every warp sums a part of the range.
        int first = 0, packs = all;
        u64 draw = 0;
        float lowest = cut > 0 ? score_of(cut) : negative_infinity();
        #pragma unroll 1
        for (bool begun = false; packs > 1 || !begun; begun = true) {
            int share = (packs + WARPS - 1) / WARPS;
            __syncthreads();
            if (thread < WARPS) { shared.sums[thread] = 0; shared.ties[thread] = 0; }
            __syncthreads();
            u64 sum = 0;
            u32 equal = 0;
            scores.of_warp(first + warp * share, min(first + (warp + 1) * share, first + packs), [&](float s, int) {
                if (s > lowest) { u64 w = scores.weight(s); sum += w >= row.least ? w : 0; }
                else if (s == lowest) { equal++; }
            });
            sum = sum_of_warp(sum);
            u64 equals = sum_of_warp((u64)equal);
            if (lane == 0) { atomicAdd(&shared.sums[warp], sum); atomicAdd(&shared.ties[warp], (u32)equals); }
            scores.of_edits([&](float s, int id) {
                int pack = id / VEC - first;
                if (pack >= 0 && pack < packs && s >= lowest) {
                    if (s > lowest) { u64 w = scores.weight(s); if (w >= row.least) { atomicAdd(&shared.sums[pack / share], w); } }
                    else { atomicAdd(&shared.ties[pack / share], 1u); }
                }
            });
            __syncthreads();
            if (warp == 0) {
                u64 one = cut > 0 ? scores.weight(lowest) : 0;
                one = one >= row.least ? one : 0;
                u64 equal_here = shared.ties[lane], equal_before = sum_up_to_lane(equal_here) - equal_here;
                u64 left = equal_before < ties ? ties - equal_before : 0;
                u64 here = shared.sums[lane] + one * (equal_here < left ? equal_here : left);
                u64 up_to = sum_up_to_lane(here);
                u64 wanted = begun ? draw : __umul64hi(row.random, from_lane(up_to, 31));
                if (wanted < up_to && wanted >= up_to - here) {
                    shared.part = lane;
                    shared.found = wanted - (up_to - here);
                    shared.bin = (u32)left;
                }
            }
            __syncthreads();
            first += shared.part * share;
            packs = min(share, packs - shared.part * share);
            draw = shared.found;
            ties = shared.bin;
        }

        // The token within its pack.
        __syncthreads();
        if (thread < VEC) { shared.own[thread] = negative_infinity(); }
        __syncthreads();
        scores.of_edits([&](float s, int id) { if (id / VEC == first) { shared.own[id % VEC] = s; } });
        __syncthreads();
        if (thread == 0) {
            for (int i = 0; i < VEC; i++) {
                int id = first * VEC + i;
                if (id >= count) { break; }
                bool blocked = scores.passes_over && (shared.blocked[id >> 5] >> (id & 31) & 1);
                float s = blocked ? shared.own[i] : widen(scores.logits[id]);
                if (s == lowest && cut > 0) { if (ties == 0) { continue; } ties--; }
                else if (!(s > lowest)) { continue; }
                u64 w = scores.weight(s);
                if (w < row.least) { continue; }
                if (draw < w) { index = id; break; }
                draw -= w;
            }
        }
    }
    if (thread == 0) {
        drawn[blockIdx.x] = index;
        if (ids) { ids[blockIdx.x] = index < 0 ? 0 : index; }
        result[blockIdx.x] = index;
        result[gridDim.x + blockIdx.x] = value;
    }
}
