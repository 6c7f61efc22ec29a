using System.Runtime.InteropServices;

namespace GlmTune.Collectives.Native;

/// <summary>Streams and events of CUDA's driver, which is the same whatever CUDA version libtorch was built
/// for.</summary>
/// <remarks>Stream and event handles are those of the runtime that libtorch uses. Source: CUDA Driver API, stream and
/// event management.</remarks>
internal static unsafe partial class CudaDriver
{
    private const int NotReady = 600;
    private const uint NonBlockingStream = 1;

    static CudaDriver() => NativeLibraries.Register();

    /// <summary>The context that libtorch uses on a device; made current with <see cref="Use"/>.</summary>
    public static nint PrimaryContext(int device)
    {
        Check(Init(0), "cuInit");
        Check(DeviceGet(out var handle, device), "cuDeviceGet");
        Check(RetainPrimaryContext(out var context, handle), "cuDevicePrimaryCtxRetain");
        return context;
    }

    /// <summary>Makes the context current on this thread; NCCL and events need it.</summary>
    public static void Use(nint context) => Check(SetCurrentContext(context), "cuCtxSetCurrent");

    /// <summary>A stream of the highest priority, so that messages go out while computation fills the GPU.</summary>
    public static nint CreateStream()
    {
        Check(PriorityRange(out _, out var highest), "cuCtxGetStreamPriorityRange");
        Check(StreamCreate(out var stream, NonBlockingStream, highest), "cuStreamCreateWithPriority");
        return stream;
    }

    public static void DestroyStream(nint stream) => Check(StreamDestroy(stream), "cuStreamDestroy");

    public static nint CreateEvent()
    {
        Check(EventCreate(out var handle, 0), "cuEventCreate");
        return handle;
    }

    public static void DestroyEvent(nint handle) => Check(EventDestroy(handle), "cuEventDestroy");

    public static void Record(nint handle, nint stream) => Check(EventRecord(handle, stream), "cuEventRecord");

    /// <summary>What is enqueued on the stream from now on waits for the event.</summary>
    public static void Await(nint stream, nint handle) =>
        Check(StreamWaitEvent(stream, handle, 0), "cuStreamWaitEvent");

    public static bool HasHappened(nint handle)
    {
        var result = EventQuery(handle);
        if (result == NotReady)
        {
            return false;
        }

        Check(result, "cuEventQuery");
        return true;
    }

    /// <summary>Time between two events that have happened; negative when the second was first.</summary>
    public static TimeSpan Between(nint from, nint to)
    {
        Check(EventElapsed(out var milliseconds, from, to), "cuEventElapsedTime");
        return TimeSpan.FromMilliseconds(milliseconds);
    }

    private static void Check(int result, string call)
    {
        if (result != 0)
        {
            var text = ErrorString(result, out var pointer) == 0 ? Marshal.PtrToStringUTF8(pointer) : null;
            throw new InvalidOperationException($"{call} failed: {text ?? "error"} ({result}).");
        }
    }

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuInit")]
    private static partial int Init(uint flags);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuDeviceGet")]
    private static partial int DeviceGet(out int device, int ordinal);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuDevicePrimaryCtxRetain")]
    private static partial int RetainPrimaryContext(out nint context, int device);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuCtxSetCurrent")]
    private static partial int SetCurrentContext(nint context);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuCtxGetStreamPriorityRange")]
    private static partial int PriorityRange(out int lowest, out int highest);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuStreamCreateWithPriority")]
    private static partial int StreamCreate(out nint stream, uint flags, int priority);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuStreamDestroy_v2")]
    private static partial int StreamDestroy(nint stream);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuStreamWaitEvent")]
    private static partial int StreamWaitEvent(nint stream, nint handle, uint flags);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuEventCreate")]
    private static partial int EventCreate(out nint handle, uint flags);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuEventDestroy_v2")]
    private static partial int EventDestroy(nint handle);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuEventRecord")]
    private static partial int EventRecord(nint handle, nint stream);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuEventQuery")]
    private static partial int EventQuery(nint handle);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuEventElapsedTime")]
    private static partial int EventElapsed(out float milliseconds, nint from, nint to);

    [LibraryImport(NativeLibraries.Cuda, EntryPoint = "cuGetErrorString")]
    private static partial int ErrorString(int result, out nint text);
}
