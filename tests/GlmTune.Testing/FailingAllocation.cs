using System.Runtime.InteropServices;
using GlmTune.Kernels.Native;
using TorchSharp;

namespace GlmTune.Testing;

/// <summary>Makes libtorch's n-th allocation of host memory fail as a real one does: inside libtorch, through whichever
/// way the operator was called.</summary>
/// <remarks>
/// libtorch's own CPU allocator gets a copied table of virtual functions, in which <c>allocate</c> is preceded by a few
/// machine instructions: they count, and turn the n-th request into one that no machine can meet. The allocator then
/// throws its own C++ exception; no managed frame lies in between. The allocator is one for the process, so tests that
/// use this run alone (a collection with <c>DisableParallelization</c>). Linux on x86-64. Source: c10/core/Allocator.h
/// of PyTorch 2.10; System V ABI for x86-64.
/// </remarks>
public static unsafe partial class FailingAllocation
{
    private const long Never = long.MinValue / 2;
    private const long Impossible = 1L << 62;
    private const int VirtualFunctions = 12; // More than there are; what lies behind is copied and not used.
    private const int BeforeTable = 2; // Offset to top, and type information.
    private const int Allocate = 2; // After two destructors.

    private static readonly long* Left = Install();

    /// <summary>Whether this machine can do it.</summary>
    public static bool IsSupported =>
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <summary>Runs an action again and again: its first allocation fails, then the second, until it has none left to
    /// fail.</summary>
    /// <param name="action">What allocates.</param>
    /// <param name="check">Gets the number of the allocation that failed, from 1, and what the action threw; nothing
    /// fails meanwhile.</param>
    /// <param name="stride">1: every allocation fails in its turn; else one in so many.</param>
    /// <param name="last">More allocations than that are an error of the test.</param>
    /// <returns>The number of the last allocation that failed.</returns>
    public static int Each(Action action, Action<int, Exception?> check, int stride = 1, int last = 5000)
    {
        for (var n = 1; n <= last; n += stride)
        {
            *Left = n;
            Exception? error = null;
            try
            {
                action();
            }
            catch (Exception e)
            {
                error = e;
            }

            var ended = *Left > 0; // Before the n-th.
            *Left = Never;
            check(n, error);
            if (ended)
            {
                return n - stride;
            }
        }

        throw new InvalidOperationException($"The action makes more than {last} allocations.");
    }

    /// <summary>Makes one later allocation fail, as when memory runs out in the middle of something.</summary>
    /// <param name="n">Which of them, from 1; 0: none.</param>
    public static void Arm(int n) => *Left = n == 0 ? Never : n;

    private static long* Install()
    {
        NativeRuntime.Load();
        var library = NativeLibrary.Load("libc10.so", typeof(torch).Assembly, null);
        var get = (delegate* unmanaged<nint*>)NativeLibrary.GetExport(library, "_ZN3c1015GetCPUAllocatorEv");
        var allocator = get();
        var table = (nint*)*allocator;
        var original = table[Allocate];
        var copy = (nint*)NativeMemory.Alloc(VirtualFunctions + BeforeTable, (nuint)sizeof(nint));
        new Span<nint>(table - BeforeTable, VirtualFunctions + BeforeTable).CopyTo(
            new Span<nint>(copy, VirtualFunctions + BeforeTable)
        );
        var left = (long*)NativeMemory.Alloc(sizeof(long));
        *left = Never;
        copy[BeforeTable + Allocate] = Executable([
            0x48,
            0xB8,
            .. BitConverter.GetBytes((long)left), // mov rax, left
            0xF0,
            0x48,
            0xFF,
            0x08, // lock dec qword ptr [rax]
            0x75,
            0x0A, // jnz past the next instruction
            0x48,
            0xBA,
            .. BitConverter.GetBytes(Impossible), // mov rdx, the size that is asked for
            0x48,
            0xB8,
            .. BitConverter.GetBytes((long)original), // mov rax, allocate
            0xFF,
            0xE0, // jmp rax
        ]);
        *allocator = (nint)(copy + BeforeTable);
        DropBacktraces(library);
        return left;
    }

    // libtorch writes a C++ stack into each error, whose names take it a tenth of a second to find: too long for
    // hundreds of errors. A std::function that returns an empty std::shared_ptr takes its place.
    private static void DropBacktraces(nint library)
    {
        var set = (delegate* unmanaged<nint*, void>)
            NativeLibrary.GetExport(
                library,
                "_ZN3c1020SetStackTraceFetcherESt8functionIFSt10shared_ptrIKNS_9LazyValueINSt7__cxx1112basic_string"
                    + "IcSt11char_traitsIcESaIcEEEEEEvEE"
            );
        var nothing = stackalloc nint[4]; // 16 bytes of state, the manager, the call
        nothing[0] = nothing[1] = 0;
        nothing[2] = Executable([0x31, 0xC0, 0xC3]); // xor eax, eax; ret
        nothing[3] = Executable([
            0x48,
            0xC7,
            0x07,
            0,
            0,
            0,
            0, // mov qword ptr [rdi], 0
            0x48,
            0xC7,
            0x47,
            0x08,
            0,
            0,
            0,
            0, // mov qword ptr [rdi + 8], 0
            0x48,
            0x89,
            0xF8, // mov rax, rdi
            0xC3, // ret
        ]);
        set(nothing);
    }

    private static nint Executable(ReadOnlySpan<byte> code)
    {
        const int ReadWriteExecute = 7;
        const int PrivateAnonymous = 0x22;
        var page = Map(0, 4096, ReadWriteExecute, PrivateAnonymous, -1, 0);
        code.CopyTo(new Span<byte>((void*)page, 4096));
        return page;
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);
}
