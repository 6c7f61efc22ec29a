using System.Runtime.InteropServices;

namespace GlmTune.Kernels.Cuda;

/// <summary>The CUDA driver's functions that are used here, as they are. Source: CUDA driver API reference.</summary>
/// <remarks>Handles of streams and events are those of the runtime that libtorch uses, whatever CUDA version it was
/// built for.</remarks>
internal static unsafe class CudaDriver
{
    public const int MultiprocessorCount = 16;
    public const int CapabilityMajor = 75;
    public const int CapabilityMinor = 76;

    private static readonly nint Library = NativeLibrary.Load(
        OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1"
    );

    public static readonly delegate* unmanaged<uint, int> Initialize = (delegate* unmanaged<uint, int>)Export("cuInit");
    public static readonly delegate* unmanaged<int*, int, int> DeviceGet = (delegate* unmanaged<int*, int, int>)Export(
        "cuDeviceGet"
    );
    public static readonly delegate* unmanaged<byte*, int, int, int> DeviceGetName = (delegate* unmanaged<
        byte*,
        int,
        int,
        int>)Export("cuDeviceGetName");
    public static readonly delegate* unmanaged<int*, int, int, int> DeviceGetAttribute = (delegate* unmanaged<
        int*,
        int,
        int,
        int>)Export("cuDeviceGetAttribute");
    public static readonly delegate* unmanaged<nint*, int, int> PrimaryContextRetain = (delegate* unmanaged<
        nint*,
        int,
        int>)Export("cuDevicePrimaryCtxRetain");
    public static readonly delegate* unmanaged<nint*, int> ContextGetCurrent = (delegate* unmanaged<nint*, int>)Export(
        "cuCtxGetCurrent"
    );
    public static readonly delegate* unmanaged<nint, int> ContextSetCurrent = (delegate* unmanaged<nint, int>)Export(
        "cuCtxSetCurrent"
    );
    public static readonly delegate* unmanaged<nint*, byte*, int> ModuleLoadData = (delegate* unmanaged<
        nint*,
        byte*,
        int>)Export("cuModuleLoadData");
    public static readonly delegate* unmanaged<nint*, nint, byte*, int> ModuleGetFunction = (delegate* unmanaged<
        nint*,
        nint,
        byte*,
        int>)Export("cuModuleGetFunction");
    public static readonly delegate* unmanaged<LaunchConfiguration*, nint, void**, void**, int> LaunchKernel =
        (delegate* unmanaged<LaunchConfiguration*, nint, void**, void**, int>)Export("cuLaunchKernelEx");
    public static readonly delegate* unmanaged<nint*, uint, int> StreamCreate = (delegate* unmanaged<
        nint*,
        uint,
        int>)Export("cuStreamCreate");
    public static readonly delegate* unmanaged<nint*, uint, int, int> StreamCreateWithPriority = (delegate* unmanaged<
        nint*,
        uint,
        int,
        int>)Export("cuStreamCreateWithPriority");
    public static readonly delegate* unmanaged<int*, int*, int> StreamPriorityRange = (delegate* unmanaged<
        int*,
        int*,
        int>)Export("cuCtxGetStreamPriorityRange");
    public static readonly delegate* unmanaged<nint, int> StreamSynchronize = (delegate* unmanaged<nint, int>)Export(
        "cuStreamSynchronize"
    );
    public static readonly delegate* unmanaged<nint, int> StreamDestroy = (delegate* unmanaged<nint, int>)Export(
        "cuStreamDestroy_v2"
    );
    public static readonly delegate* unmanaged<nint, int, int> StreamBeginCapture = (delegate* unmanaged<
        nint,
        int,
        int>)Export("cuStreamBeginCapture_v2");
    public static readonly delegate* unmanaged<nint, nint*, int> StreamEndCapture = (delegate* unmanaged<
        nint,
        nint*,
        int>)Export("cuStreamEndCapture");
    public static readonly delegate* unmanaged<nint*, nint, ulong, int> GraphInstantiate = (delegate* unmanaged<
        nint*,
        nint,
        ulong,
        int>)Export("cuGraphInstantiateWithFlags");
    public static readonly delegate* unmanaged<nint, nint, int> GraphLaunch = (delegate* unmanaged<
        nint,
        nint,
        int>)Export("cuGraphLaunch");
    public static readonly delegate* unmanaged<nint, int> GraphDestroy = (delegate* unmanaged<nint, int>)Export(
        "cuGraphDestroy"
    );
    public static readonly delegate* unmanaged<nint, int> GraphExecDestroy = (delegate* unmanaged<nint, int>)Export(
        "cuGraphExecDestroy"
    );
    public static readonly delegate* unmanaged<nint*, uint, int> EventCreate = (delegate* unmanaged<
        nint*,
        uint,
        int>)Export("cuEventCreate");
    public static readonly delegate* unmanaged<nint, nint, int> EventRecord = (delegate* unmanaged<
        nint,
        nint,
        int>)Export("cuEventRecord");
    public static readonly delegate* unmanaged<nint, int> EventQuery = (delegate* unmanaged<nint, int>)Export(
        "cuEventQuery"
    );
    public static readonly delegate* unmanaged<nint, int> EventSynchronize = (delegate* unmanaged<nint, int>)Export(
        "cuEventSynchronize"
    );
    public static readonly delegate* unmanaged<float*, nint, nint, int> EventElapsedTime = (delegate* unmanaged<
        float*,
        nint,
        nint,
        int>)Export("cuEventElapsedTime");
    public static readonly delegate* unmanaged<nint, int> EventDestroy = (delegate* unmanaged<nint, int>)Export(
        "cuEventDestroy_v2"
    );
    public static readonly delegate* unmanaged<nint, nint, uint, int> StreamWaitEvent = (delegate* unmanaged<
        nint,
        nint,
        uint,
        int>)Export("cuStreamWaitEvent");
    public static readonly delegate* unmanaged<nint, nint, nuint, nint, int> MemoryCopyToHost = (delegate* unmanaged<
        nint,
        nint,
        nuint,
        nint,
        int>)Export("cuMemcpyDtoHAsync_v2");
    public static readonly delegate* unmanaged<nuint*, nuint*, int> MemoryGetInfo = (delegate* unmanaged<
        nuint*,
        nuint*,
        int>)Export("cuMemGetInfo_v2");
    public static readonly delegate* unmanaged<nint*, nuint, uint, int> MemoryHostAllocate = (delegate* unmanaged<
        nint*,
        nuint,
        uint,
        int>)Export("cuMemHostAlloc");
    public static readonly delegate* unmanaged<nint, int> MemoryHostFree = (delegate* unmanaged<nint, int>)Export(
        "cuMemFreeHost"
    );
    public static readonly delegate* unmanaged<nint, nint, nuint, nint, int> MemoryCopyToDevice = (delegate* unmanaged<
        nint,
        nint,
        nuint,
        nint,
        int>)Export("cuMemcpyHtoDAsync_v2");
    private static readonly delegate* unmanaged<int, byte**, int> GetErrorString = (delegate* unmanaged<
        int,
        byte**,
        int>)Export("cuGetErrorString");

    /// <summary>Throws an exception with the driver's message if a call failed.</summary>
    /// <exception cref="CudaException">The code is not 0.</exception>
    public static void Check(int code, string action)
    {
        if (code == 0)
        {
            return;
        }

        byte* text;
        var reason = GetErrorString(code, &text) == 0 ? Marshal.PtrToStringUTF8((nint)text) : "unknown error";
        throw new CudaException($"CUDA could not {action}: {reason} (error {code}).");
    }

    private static nint Export(string name) => NativeLibrary.GetExport(Library, name);
}

/// <summary>CUlaunchConfig of the driver API.</summary>
internal unsafe struct LaunchConfiguration
{
    public uint GridX,
        GridY,
        GridZ,
        BlockX,
        BlockY,
        BlockZ,
        SharedBytes;
    public nint Stream;
    public LaunchAttribute* Attributes;
    public uint AttributeCount;
}

/// <summary>CUlaunchAttribute: its kind, and a value of 64 bytes of which the first word is used here.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LaunchAttribute
{
    /// <summary>CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: start before the kernel in front has
    /// ended.</summary>
    public const int Overlap = 6;

    [FieldOffset(0)]
    public int Kind;

    [FieldOffset(8)]
    public int Value;
}

/// <summary>An error from the CUDA driver or compiler; the message contains its reason.</summary>
internal sealed class CudaException(string message) : Exception(message);
