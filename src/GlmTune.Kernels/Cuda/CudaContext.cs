using System.Collections.Concurrent;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The driver's context of a GPU, which must be current on every thread that calls the driver; shared with
/// libtorch.</summary>
internal static unsafe class CudaContext
{
    private static readonly ConcurrentDictionary<int, (int Device, nint Context)> Contexts = new();

    /// <summary>Makes the GPU's context this thread's: a thread that has not used CUDA yet, or last used another GPU,
    /// has none or another.</summary>
    /// <exception cref="CudaException">The GPU cannot be used.</exception>
    public static void Ensure(Device device) => Ensure(Math.Max(0, device.index));

    /// <summary>The same by the GPU's number, as libtorch counts.</summary>
    /// <exception cref="CudaException">The GPU cannot be used.</exception>
    internal static void Ensure(int index)
    {
        var context = Contexts.GetOrAdd(index, Open).Context;
        nint current;
        if (CudaDriver.ContextGetCurrent(&current) != 0 || current != context)
        {
            CudaDriver.Check(CudaDriver.ContextSetCurrent(context), "select the GPU");
        }
    }

    /// <summary>The driver's number of a GPU, which is opened.</summary>
    /// <param name="index">Its number, as libtorch counts.</param>
    /// <exception cref="CudaException">The GPU cannot be used.</exception>
    internal static int DeviceOf(int index) => Contexts.GetOrAdd(index, Open).Device;

    private static (int Device, nint Context) Open(int index)
    {
        CudaDriver.Check(CudaDriver.Initialize(0), "start");
        int device;
        CudaDriver.Check(CudaDriver.DeviceGet(&device, index), $"find GPU {index}");
        nint context;
        CudaDriver.Check(CudaDriver.PrimaryContextRetain(&context, device), $"open GPU {index}");
        return (device, context);
    }
}
