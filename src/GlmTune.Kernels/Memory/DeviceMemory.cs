using GlmTune.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>GPU memory as counted by the driver: that of all programs together.</summary>
internal static unsafe class DeviceMemory
{
    /// <summary>Free and total bytes of a GPU; null on the CPU.</summary>
    public static (long Free, long Total)? Of(Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return null;
        }

        CudaContext.Ensure(device);
        nuint free;
        nuint total;
        CudaDriver.Check(CudaDriver.MemoryGetInfo(&free, &total), "query the free memory");
        return ((long)free, (long)total);
    }
}
