// 16 x 8 products of two-byte numbers on the matrix units. Lane l holds, with g = l / 4 and t = l % 4:
//   a: rows g and g + 8 of the left side, pairs of columns {2t, 2t+1} and {2t+8, 2t+9}
//   b: column g of the right side, the same pairs of rows
//   c: rows g (c[0], c[1]) and g + 8 (c[2], c[3]), columns 2t and 2t + 1
// A sum does not mind the order of its terms: where both sides name the inner index by the same permutation, a lane can take eight
// neighbours by one 16-byte access and feed them to two products.
#ifdef EMULATED
using emulator::multiply_add;
#else
template <class S> __device__ __forceinline__ void multiply_add(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1);
template <> __device__ __forceinline__ void multiply_add<bf16>(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <> __device__ __forceinline__ void multiply_add<f16>(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
#endif

// For what is read once: not kept in the first-level cache.
__device__ __forceinline__ uint4 load_once(const T* p) {
#ifdef EMULATED
    return *(const uint4*)p;
#else
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
#endif
}

// Sixteen bytes on their way from memory to shared memory while the thread goes on; zeros where there is nothing to copy. Copies end in
// the order of their groups. Where each lane reads back only what it copied itself, nothing else need be waited for.
#ifdef EMULATED
using emulator::copy_later; using emulator::end_group; using emulator::wait_for_all_but;
#else
__device__ __forceinline__ void copy_later(uint4* to, const T* from, bool there) {
    u32 address = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(address), "l"(from), "r"(there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int GROUPS> __device__ __forceinline__ void wait_for_all_but() { asm volatile("cp.async.wait_group %0;" :: "n"(GROUPS) : "memory"); }
#endif

__device__ __forceinline__ u32 word(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }
