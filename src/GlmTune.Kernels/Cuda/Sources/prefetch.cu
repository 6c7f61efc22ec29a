// Asks the second-level cache for memory that a kernel reads soon, while kernels run that leave the memory's bandwidth idle. It waits for the kernel
// before it at its end only, so that the kernel after it may rely on that one as ever.
extern "C" __global__ void __launch_bounds__(128) prefetch(const char* memory, long long bytes)
{
    let_next_start();
    long long step = (long long)gridDim.x * blockDim.x * 128;
    for (long long place = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 128; place < bytes; place += step) {
#ifndef EMULATED
        asm volatile("prefetch.global.L2 [%0];" :: "l"(memory + place));
#endif
    }
    wait_for_previous();
}
