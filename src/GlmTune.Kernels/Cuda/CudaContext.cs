using System.Collections.Concurrent;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The driver's context of a GPU, which must be current on every thread that calls the driver; shared with
/// libtorch.</summary>
internal static unsafe class CudaContext
{
    private static readonly ConcurrentDictionary<int, nint> Contexts = new();

    /// <summary>Makes the GPU's context current on this thread.</summary>
    /// <exception cref="CudaException">The GPU cannot be used.</exception>
    public static void Ensure(Device device)
    {
        var context = Contexts.GetOrAdd(Math.Max(0, device.index), Open);
        nint current;
        if (CudaDriver.ContextGetCurrent(&current) != 0 || current != context)
        {
            CudaDriver.Check(CudaDriver.ContextSetCurrent(context), "select the GPU");
        }
    }

    private static nint Open(int index)
    {
        int device;
        CudaDriver.Check(CudaDriver.DeviceGet(&device, index), $"find GPU {index}");
        nint context;
        CudaDriver.Check(CudaDriver.PrimaryContextRetain(&context, device), $"open GPU {index}");
        return context;
    }
}
