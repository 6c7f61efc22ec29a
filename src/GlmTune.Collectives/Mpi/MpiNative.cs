using System.Runtime.InteropServices;
using System.Text;

namespace GlmTune.Collectives.Native;

/// <summary>The MPI functions used. Source: MPI: A Message-Passing Interface Standard, version 3.1.</summary>
internal static unsafe partial class MpiNative
{
    /// <summary>Thread level: only the thread that initialized MPI calls it.</summary>
    public const int ThreadFunneled = 1;

    private const int MaxErrorBytes = 512;

    static MpiNative() => NativeLibraries.Register();

    /// <summary>Throws an exception with MPI's error text for <paramref name="code"/>, unless it is success.</summary>
    public static void Check(int code, string call)
    {
        if (code == 0)
        {
            return;
        }

        var text = stackalloc byte[MaxErrorBytes];
        var length = 0;
        var said = ErrorString(code, text, &length) == 0 ? Encoding.UTF8.GetString(text, length) : $"error {code}";
        throw new IOException($"{call} failed: {said}");
    }

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Init_thread")]
    public static partial int InitThread(nint argc, nint argv, int required, out int provided);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Initialized")]
    public static partial int Initialized(out int flag);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Finalize")]
    public static partial int FinalizeMpi();

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Abort")]
    public static partial int Abort(nint communicator, int code);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Comm_rank")]
    public static partial int CommRank(nint communicator, out int rank);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Comm_size")]
    public static partial int CommSize(nint communicator, out int size);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Comm_set_errhandler")]
    public static partial int CommSetErrorHandler(nint communicator, nint handler);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Iallgather")]
    public static partial int AllGather(
        nint send,
        int sendCount,
        nint sendType,
        nint receive,
        int receiveCount,
        nint receiveType,
        nint communicator,
        out nint request
    );

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Ialltoall")]
    public static partial int AllToAll(
        nint send,
        int sendCount,
        nint sendType,
        nint receive,
        int receiveCount,
        nint receiveType,
        nint communicator,
        out nint request
    );

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Ibcast")]
    public static partial int Broadcast(
        nint buffer,
        int count,
        nint type,
        int root,
        nint communicator,
        out nint request
    );

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Isend")]
    public static partial int Send(
        nint buffer,
        int count,
        nint type,
        int to,
        int tag,
        nint communicator,
        out nint request
    );

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Irecv")]
    public static partial int Receive(
        nint buffer,
        int count,
        nint type,
        int from,
        int tag,
        nint communicator,
        out nint request
    );

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Test")]
    public static partial int Test(ref nint request, out int done, nint status);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Iprobe")]
    public static partial int Probe(int from, int tag, nint communicator, out int found, nint status);

    [LibraryImport(NativeLibraries.Mpi, EntryPoint = "MPI_Error_string")]
    private static partial int ErrorString(int code, byte* text, int* length);
}
