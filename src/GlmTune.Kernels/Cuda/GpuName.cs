using System.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The driver's name for a GPU.</summary>
internal static unsafe class GpuName
{
    private const int MaxLength = 256;

    /// <summary>Such as <c>NVIDIA H200</c>; null on the CPU.</summary>
    public static string? Of(Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return null;
        }

        CudaContext.Ensure(device);
        int gpu;
        CudaDriver.Check(CudaDriver.DeviceGet(&gpu, Math.Max(0, device.index)), "find the GPU");
        var name = stackalloc byte[MaxLength];
        CudaDriver.Check(CudaDriver.DeviceGetName(name, MaxLength, gpu), "read the GPU's name");
        var text = new ReadOnlySpan<byte>(name, MaxLength);
        return Encoding.UTF8.GetString(text[..text.IndexOf((byte)0)]);
    }
}
