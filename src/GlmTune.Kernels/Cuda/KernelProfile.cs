using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using GlmTune.Kernels.Native;

namespace GlmTune.Kernels.Cuda;

/// <summary>Time spent in one kernel, or one kind of copy, in a profile.</summary>
/// <param name="Name">Name of the kernel in its source.</param>
/// <param name="Count">Number of runs.</param>
/// <param name="Microseconds">Total time.</param>
internal sealed record KernelTime(string Name, long Count, double Microseconds);

/// <summary>Times every kernel that the GPU runs between start and stop, using CUPTI, NVIDIA's profiling
/// library.</summary>
/// <remarks>The library is part of PyTorch's CUDA build and of the CUDA toolkit. Only one profile per process at a
/// time. Records are read with the layout of <c>CUpti_ActivityKernel</c>, whose leading fields have not moved since its
/// third version (cupti_activity.h).</remarks>
internal static unsafe class KernelProfile
{
    private const uint Copies = 1;
    private const uint Fills = 2;
    private const uint ConcurrentKernels = 10;
    private const nuint BufferBytes = 4 << 20;
    private const int IdleShown = 6;
    private static readonly uint[] Kinds = [Copies, Fills, ConcurrentKernels];
    private static readonly ConcurrentBag<(string Name, ulong Start, ulong End)> Seen = [];
    private static readonly Lock Gate = new();
    private static delegate* unmanaged<byte*, nuint, byte**, int> nextRecord;

    /// <summary>Runs and profiles <paramref name="work"/>, which must wait for the GPU before it returns.</summary>
    /// <returns>The total time; the idle time, and before which kernels most of it was; then the kernels, longest
    /// first. Null if CUPTI is not available or fails.</returns>
    /// <param name="work">What to profile.</param>
    /// <param name="problem">Why there is no profile; null if there is one.</param>
    public static IReadOnlyList<KernelTime>? Of(Action work, out string problem)
    {
        lock (Gate)
        {
            problem = "NVIDIA's profiling library, libcupti, was not found";
            if (Open() is not { } library)
            {
                return null;
            }

            var register = (delegate* unmanaged<void*, void*, int>)
                NativeLibrary.GetExport(library, "cuptiActivityRegisterCallbacks");
            var enable = (delegate* unmanaged<uint, int>)NativeLibrary.GetExport(library, "cuptiActivityEnable");
            var disable = (delegate* unmanaged<uint, int>)NativeLibrary.GetExport(library, "cuptiActivityDisable");
            var flush = (delegate* unmanaged<uint, int>)NativeLibrary.GetExport(library, "cuptiActivityFlushAll");
            nextRecord = (delegate* unmanaged<byte*, nuint, byte**, int>)
                NativeLibrary.GetExport(library, "cuptiActivityGetNextRecord");
            Seen.Clear();
            delegate* unmanaged<byte**, nuint*, nuint*, void> request = &Request;
            delegate* unmanaged<void*, uint, byte*, nuint, nuint, void> complete = &Complete;
            var code = register(request, complete);
            foreach (var kind in Kinds)
            {
                code = code == 0 ? enable(kind) : code;
            }

            if (code != 0)
            {
                problem = $"NVIDIA's profiling library returned error {code}";
                return null;
            }

            work();
            _ = flush(1);
            foreach (var kind in Kinds)
            {
                _ = disable(kind);
            }

            problem = Seen.IsEmpty ? "NVIDIA's profiling library returned no records" : "";
            return Seen.IsEmpty ? null : Summarise([.. Seen.OrderBy(run => run.Start)]);
        }
    }

    // By name; and the idle time, by the kernel that followed it.
    private static List<KernelTime> Summarise(List<(string Name, ulong Start, ulong End)> runs)
    {
        var idle = new Dictionary<string, (long Count, ulong Nanoseconds)>();
        var busyUntil = runs[0].Start;
        foreach (var run in runs)
        {
            if (run.Start > busyUntil)
            {
                var (count, sum) = idle.GetValueOrDefault(run.Name);
                idle[run.Name] = (count + 1, sum + run.Start - busyUntil);
            }

            busyUntil = Math.Max(busyUntil, run.End);
        }

        var times = runs.GroupBy(run => run.Name)
            .Select(group => new KernelTime(
                Readable(group.Key),
                group.Count(),
                group.Sum(run => (double)(run.End - run.Start)) / 1000
            ))
            .OrderByDescending(time => time.Microseconds);
        var gaps = idle.OrderByDescending(pair => pair.Value.Nanoseconds)
            .Take(IdleShown)
            .Select(pair => new KernelTime(
                $"idle before {Readable(pair.Key)}",
                pair.Value.Count,
                pair.Value.Nanoseconds / 1000.0
            ));
        return
        [
            new("all", runs.Count, (busyUntil - runs[0].Start) / 1000.0),
            new("idle", idle.Values.Sum(gap => gap.Count), idle.Values.Sum(gap => (double)gap.Nanoseconds) / 1000),
            .. gaps,
            .. times,
        ];
    }

    private static nint? Open()
    {
        var beside = NativeRuntime.Load().Folder;
        string[] folders = ["", .. Siblings(beside)];
        foreach (var name in (string[])["libcupti.so.13", "libcupti.so.12", "libcupti.so"])
        {
            foreach (var folder in folders)
            {
                if (NativeLibrary.TryLoad(folder.Length == 0 ? name : Path.Combine(folder, name), out var library))
                {
                    return library;
                }
            }
        }

        return null;
    }

    // .../site-packages/torch/lib has its CUDA libraries in .../site-packages/nvidia/*/lib.
    private static IEnumerable<string> Siblings(string folder)
    {
        var packages = Path.Combine(folder, "..", "..", "nvidia");
        return Directory.Exists(packages)
            ? Directory.GetDirectories(packages).Select(package => Path.Combine(package, "lib"))
            : [];
    }

    [UnmanagedCallersOnly]
    private static void Request(byte** buffer, nuint* size, nuint* records)
    {
        *buffer = (byte*)NativeMemory.AlignedAlloc(BufferBytes, 8);
        *size = BufferBytes;
        *records = 0;
    }

    [UnmanagedCallersOnly]
    private static void Complete(void* context, uint stream, byte* buffer, nuint size, nuint valid)
    {
        byte* record = null;
        while (valid > 0 && nextRecord(buffer, valid, &record) == 0)
        {
            Note(record);
        }

        NativeMemory.AlignedFree(buffer);
    }

    private static void Note(byte* record)
    {
        var kind = Unsafe.ReadUnaligned<uint>(record);
        if (!Kinds.Contains(kind))
        {
            return;
        }

        var (start, end) = (Unsafe.ReadUnaligned<ulong>(record + 16), Unsafe.ReadUnaligned<ulong>(record + 24));
        var name = kind switch
        {
            Copies => "copy",
            Fills => "fill",
            _ => Marshal.PtrToStringUTF8(Unsafe.ReadUnaligned<nint>(record + 104)) ?? "?",
        };
        if (end >= start)
        {
            Seen.Add((name, start, end));
        }
    }

    // The C++ library's own demangler; a name that it does not recognize stays unchanged.
    private static string Readable(string name)
    {
        if (
            !name.StartsWith("_Z", StringComparison.Ordinal)
            || !NativeLibrary.TryLoad("libstdc++.so.6", out var library)
            || !NativeLibrary.TryGetExport(library, "__cxa_demangle", out var address)
        )
        {
            return name;
        }

        var bytes = Marshal.StringToCoTaskMemUTF8(name);
        int status;
        var text = ((delegate* unmanaged<nint, byte*, nuint*, int*, byte*>)address)(bytes, null, null, &status);
        Marshal.FreeCoTaskMem(bytes);
        var readable = text is null ? name : Marshal.PtrToStringUTF8((nint)text) ?? name;
        NativeMemory.Free(text);
        return readable;
    }
}
