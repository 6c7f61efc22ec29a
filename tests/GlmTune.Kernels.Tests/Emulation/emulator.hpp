// Runs CUDA kernels on the CPU, for tests: the threads of a block are coroutines on one operating-system thread, blocks run one after
// another. A thread runs until it meets a barrier or a warp operation, then the next one does. Slow and exact: a wrong index, a
// missing barrier between two phases or a misread lane shows in the numbers.
#pragma once
#define EMULATED 1
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __constant__ static const
#define __shared__ static                   // one block at a time, so one copy is enough
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };

using std::max;
using std::min;

namespace emulator {

struct Copy { uint4* to; uint4 what; int group; };
struct Lane {
    std::vector<Copy> copies;
    int group = 0;
    ucontext_t context;
    std::vector<char> stack;
    uint3 index{};
    bool done = false;
};

struct Gate { int arrived = 0; unsigned turn = 0; };

inline std::vector<Lane> lanes;
inline std::vector<Gate> warp_gates;
inline Gate block_gate;
inline ucontext_t scheduler;
inline Lane* current;
inline uint3 block_index, block_size, grid_size;
inline void (*body)(void**);
inline void** body_arguments;
struct alignas(16) Slot { uint32_t words[8]; };
inline std::vector<Slot> slots;              // what each thread shows to its warp

inline void give_way() { swapcontext(&current->context, &scheduler); }

inline void wait_at(Gate& gate, int expected) {
    unsigned turn = gate.turn;
    if (++gate.arrived == expected) { gate.arrived = 0; gate.turn++; return; }
    while (gate.turn == turn) { give_way(); }
}

inline int lane_number() { return current->index.x & 31; }
inline int warp_number() { return current->index.x >> 5; }
inline void wait_for_warp() { wait_at(warp_gates[warp_number()], 32); }
inline Slot& slot_of(int lane) { return slots[warp_number() * 32 + lane]; }

template <class V> V shuffle(V value, int from) {
    static_assert(sizeof(V) == 4);
    std::memcpy(slot_of(lane_number()).words, &value, 4);
    wait_for_warp();
    V result;
    std::memcpy(&result, slot_of(from).words, 4);
    wait_for_warp();
    return result;
}

inline void enter() { body(body_arguments); current->done = true; swapcontext(&current->context, &scheduler); }

template <class... P, size_t... I> void unpack(void (*kernel)(P...), void** values, std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<P>*)values[I]...);
}

inline void run(void (*call)(void**), uint3 grid, unsigned threads, void** values) {
    if (threads % 32 != 0) { std::abort(); }
    body = call;
    body_arguments = values;
    grid_size = grid;
    block_size = {threads, 1, 1};
    lanes.resize(threads);
    slots.resize(threads);
    for (unsigned z = 0; z < grid.z; z++) for (unsigned y = 0; y < grid.y; y++) for (unsigned x = 0; x < grid.x; x++) {
        block_index = {x, y, z};
        block_gate = {};
        warp_gates.assign(threads / 32, {});
        for (unsigned t = 0; t < threads; t++) {
            Lane& lane = lanes[t];
            lane.stack.resize(128 * 1024);
            lane.index = {t, 0, 0};
            lane.done = false;
            lane.group = 0;
            lane.copies.clear();
            getcontext(&lane.context);
            lane.context.uc_stack.ss_sp = lane.stack.data();
            lane.context.uc_stack.ss_size = lane.stack.size();
            lane.context.uc_link = nullptr;
            makecontext(&lane.context, enter, 0);
        }
        for (bool some = true; some;) {
            some = false;
            for (Lane& lane : lanes) {
                if (lane.done) { continue; }
                some = true;
                current = &lane;
                swapcontext(&scheduler, &lane.context);
            }
        }
    }
}

}  // namespace emulator

#define threadIdx (emulator::current->index)
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size

// Threads that have left a block do not count at its barriers.
inline void __syncthreads() {
    int alive = 0;
    for (auto& lane : emulator::lanes) { alive += !lane.done; }
    emulator::wait_at(emulator::block_gate, alive);
}
template <class V> V __shfl_xor_sync(unsigned, V value, int mask) { return emulator::shuffle(value, emulator::lane_number() ^ mask); }

template <class V> V __shfl_sync(unsigned, V value, int from) { return emulator::shuffle(value, from & 31); }

inline void __threadfence() {}
inline void __syncwarp() { emulator::wait_for_warp(); }
template <class V, class A> V atomicAdd(V* place, A value) { V before = *place; *place += value; return before; }
inline unsigned atomicOr(unsigned* place, unsigned value) { unsigned before = *place; *place |= value; return before; }
template <class V> V __ldcg(const V* place) { return *place; }

inline int __any_sync(unsigned, int value) {
    for (int offset = 1; offset < 32; offset <<= 1) { value = __shfl_xor_sync(~0u, value, offset) || value; }
    return value;
}

inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
// Each rounded by itself, and never contracted.
inline float __fadd_rn(float a, float b) { volatile float y = a + b; return y; }
inline float __fsub_rn(float a, float b) { volatile float y = a - b; return y; }
inline float __fmul_rn(float a, float b) { volatile float y = a * b; return y; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)(((unsigned __int128)a * b) >> 64); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    uint64_t bytes = ((uint64_t)b << 32) | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) { result |= (unsigned)((bytes >> (8 * ((selector >> (4 * i)) & 7))) & 255) << (8 * i); }
    return result;
}

struct bf16; struct f16;

namespace emulator {

// Round to nearest, ties to even.
inline uint16_t to_bf16(float x) {
    uint32_t bits = __float_as_uint(x);
    if (std::isnan(x)) { return 0x7fff; }
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float from_f16(uint16_t bits) {
    int exponent = (bits >> 10) & 31, fraction = bits & 1023;
    float value = exponent == 31 ? (fraction ? NAN : INFINITY)
        : exponent ? std::ldexp(1.0f + fraction / 1024.0f, exponent - 15) : std::ldexp((float)fraction, -24);
    return bits & 0x8000 ? -value : value;
}
inline uint16_t to_f16(float x) {
    uint16_t sign = (uint16_t)((__float_as_uint(x) >> 16) & 0x8000);
    float size = std::fabs(x);
    if (std::isnan(x)) { return 0x7fff; }
    if (size == 0.0f) { return sign; }
    if (size >= 65520.0f) { return sign | 0x7c00; }
    int exponent;
    std::frexp(size, &exponent);
    int step = (exponent < -13 ? -13 : exponent) - 11;      // a unit in the last place is 2^step
    float units = std::nearbyint(std::ldexp(size, -step));  // to even on ties, as the default rounding mode is
    return sign | (uint16_t)((unsigned)units + ((unsigned)(step + 24) << 10));
}
inline uint32_t join_bf16(float low, float high) { return to_bf16(low) | ((uint32_t)to_bf16(high) << 16); }
inline uint32_t join_f16(float low, float high) { return to_f16(low) | ((uint32_t)to_f16(high) << 16); }
// e4m3 without infinities: beyond 448 the largest number, as the GPU's satfinite does.
inline uint8_t to_e4m3(float x) {
    uint8_t sign = (uint8_t)((__float_as_uint(x) >> 24) & 0x80);
    float size = std::fabs(x);
    if (std::isnan(x)) { return 0x7f; }
    if (size >= 448.0f) { return sign | 0x7e; }
    if (size == 0.0f) { return sign; }
    int exponent;
    std::frexp(size, &exponent);
    int step = (exponent < -5 ? -5 : exponent) - 4;         // a unit in the last place is 2^step
    float units = std::nearbyint(std::ldexp(size, -step));
    return sign | (uint8_t)((unsigned)units + ((unsigned)(step + 9) << 3));
}
inline uint32_t join_e4m3(float low, float high) { return to_e4m3(low) | ((uint32_t)to_e4m3(high) << 8); }
template <class S> float widen_f16(S x) { return from_f16(x.bits); }

template <class S> float half_of(uint32_t word, int which) {
    uint16_t bits = (uint16_t)(word >> (16 * which));
    return std::is_same_v<S, bf16> ? __uint_as_float((uint32_t)bits << 16) : from_f16(bits);
}

// Bytes of two words by selectors of four bits, of which the highest is not used.
inline uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t which) { return __byte_perm(low, high, which); }
template <class S> uint32_t join_as(float low, float high) { return std::is_same_v<S, bf16> ? join_bf16(low, high) : join_f16(low, high); }
template <class S> uint32_t subtract_pairs(uint32_t a, uint32_t b) {
    return join_as<S>(half_of<S>(a, 0) - half_of<S>(b, 0), half_of<S>(a, 1) - half_of<S>(b, 1));
}
template <class S> uint32_t multiply_pairs(uint32_t a, uint32_t b) {
    return join_as<S>(half_of<S>(a, 0) * half_of<S>(b, 0), half_of<S>(a, 1) * half_of<S>(b, 1));
}

// Copies to shared memory in groups. They are done as late as allowed: a read that does not wait for its group finds what was there before.
inline void finish_copies(int up_to) {
    std::vector<Copy> left;
    for (const Copy& copy : current->copies) {
        if (copy.group < up_to) { *copy.to = copy.what; } else { left.push_back(copy); }
    }
    current->copies = left;
}
template <class P> void copy_later(uint4* to, const P* from, bool there) {
    Copy copy = {to, {0, 0, 0, 0}, current->group};
    if (there) { std::memcpy(&copy.what, from, 16); }
    current->copies.push_back(copy);
}
inline void end_group() { current->group++; }
template <int GROUPS> void wait_for_all_but() { finish_copies(current->group - GROUPS); }

// The warp's 16 x 8 product, from the words that its lanes hold.
template <class S> void multiply_add(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    Slot& mine = slot_of(lane_number());
    uint32_t words[8] = {a0, a1, a2, a3, b0, b1, 0, 0};
    std::memcpy(mine.words, words, sizeof words);
    wait_for_warp();
    int g = lane_number() >> 2, t = lane_number() & 3;
    for (int i = 0; i < 4; i++) {
        int row = g + 8 * (i >> 1), column = 2 * t + (i & 1);
        float sum = c[i];
        for (int k = 0; k < 16; k++) {
            const Slot& left = slot_of(4 * (row & 7) + (k % 8) / 2);
            const Slot& right = slot_of(4 * column + (k % 8) / 2);
            float a = half_of<S>(left.words[(row >> 3) + 2 * (k / 8)], k & 1);
            float b = half_of<S>(right.words[4 + k / 8], k & 1);
            sum += a * b;
        }
        c[i] = sum;
    }
    wait_for_warp();
}

}  // namespace emulator

// A kernel's entry for the caller: its parameters come as addresses of values.
#define EMULATE(kernel) \
    extern "C" __attribute__((visibility("default"))) void emulate_##kernel(unsigned x, unsigned y, unsigned z, unsigned threads, void** values) { \
        emulator::run([](void** v) { \
            [v]<class... P>(void (*k)(P...)) { emulator::unpack(k, v, std::index_sequence_for<P...>{}); }(&kernel); \
        }, {x, y, z}, threads, values); \
    }
