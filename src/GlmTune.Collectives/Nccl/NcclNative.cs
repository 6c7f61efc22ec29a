using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Native;

/// <summary>The NCCL functions used. Source: <c>nccl.h</c> of NCCL 2.</summary>
internal static unsafe partial class NcclNative
{
    private const int InProgress = 7;

    static NcclNative() => NativeLibraries.Register();

    /// <summary>Throws an exception with NCCL's error text for <paramref name="result"/>, unless it is success or in
    /// progress.</summary>
    public static void Check(int result, string call, nint communicator = 0)
    {
        if (Failed(result))
        {
            throw new IOException($"{call} failed: {Describe(result, communicator)}. Set NCCL_DEBUG=INFO for details.");
        }
    }

    public static bool Failed(int result) => result is not (0 or InProgress);

    public static string Describe(int result, nint communicator)
    {
        var last = Marshal.PtrToStringUTF8(LastError(communicator));
        var details = string.IsNullOrWhiteSpace(last) ? "" : $" ({last.Trim()})";
        return $"{Marshal.PtrToStringUTF8(ErrorString(result))}{details}";
    }

    /// <summary>NCCL's number for a type.</summary>
    public static int TypeOf(ScalarType type) =>
        type switch
        {
            ScalarType.Int32 => 2,
            ScalarType.Int64 => 4,
            ScalarType.Float16 => 6,
            ScalarType.Float32 => 7,
            ScalarType.Float64 => 8,
            ScalarType.BFloat16 => 9,
            _ => throw new ArgumentException($"NCCL cannot sum {type}."),
        };

    /// <summary>NCCL's number for bytes, used for calls that only move data, whatever the type.</summary>
    public const int Bytes = 1;

    /// <summary>NCCL's number for summation.</summary>
    public const int Sum = 0;

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclGetVersion")]
    public static partial int GetVersion(out int version);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclGetUniqueId")]
    public static partial int GetUniqueId(out NcclUniqueId id);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclCommInitRank")]
    public static partial int InitRank(out nint communicator, int size, NcclUniqueId id, int rank);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclCommDestroy")]
    public static partial int Destroy(nint communicator);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclCommGetAsyncError")]
    public static partial int GetAsyncError(nint communicator, out int result);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclAllGather")]
    public static partial int AllGather(nint send, nint receive, nuint count, int type, nint communicator, nint stream);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclReduceScatter")]
    public static partial int ReduceScatter(
        nint send,
        nint receive,
        nuint count,
        int type,
        int operation,
        nint communicator,
        nint stream
    );

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclAllReduce")]
    public static partial int AllReduce(
        nint send,
        nint receive,
        nuint count,
        int type,
        int operation,
        nint communicator,
        nint stream
    );

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclBroadcast")]
    public static partial int Broadcast(
        nint send,
        nint receive,
        nuint count,
        int type,
        int root,
        nint communicator,
        nint stream
    );

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclSend")]
    public static partial int Send(nint send, nuint count, int type, int to, nint communicator, nint stream);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclRecv")]
    public static partial int Receive(nint receive, nuint count, int type, int from, nint communicator, nint stream);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclGroupStart")]
    public static partial int GroupStart();

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclGroupEnd")]
    public static partial int GroupEnd();

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclGetErrorString")]
    private static partial nint ErrorString(int result);

    [LibraryImport(NativeLibraries.Nccl, EntryPoint = "ncclGetLastError")]
    private static partial nint LastError(nint communicator);
}

/// <summary>The id that ranks of a communicator share before it exists; it contains the address at which rank 0
/// listens.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NcclUniqueId
{
    public const int Size = 128;

    private fixed byte bytes[Size];

    /// <summary>The raw bytes, for sending and receiving.</summary>
    public static Span<byte> AsBytes(ref NcclUniqueId id) => MemoryMarshal.AsBytes(new Span<NcclUniqueId>(ref id));
}
