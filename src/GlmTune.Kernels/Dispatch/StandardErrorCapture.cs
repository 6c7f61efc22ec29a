using System.Runtime.InteropServices;
using System.Text;

namespace GlmTune.Kernels.Dispatch;

/// <summary>Captures what native code writes to standard error, from <see cref="Start"/> until disposed. Linux only;
/// one at a time.</summary>
internal sealed unsafe partial class StandardErrorCapture : IDisposable
{
    private const int StandardError = 2;
    private static readonly Lock Gate = new();

    private readonly int saved;
    private readonly int file;
    private nint taken;

    private StandardErrorCapture(int saved, int file)
    {
        this.saved = saved;
        this.file = file;
    }

    /// <summary>Starts capturing; null if that is not possible.</summary>
    public static StandardErrorCapture? Start()
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        Gate.Enter();
        var file = MemoryFile("standard-error", 0);
        var saved = file < 0 ? -1 : Duplicate(StandardError);
        if (saved >= 0 && DuplicateTo(file, StandardError) >= 0)
        {
            NativeLog.Hold();
            return new StandardErrorCapture(saved, file);
        }

        _ = file < 0 ? 0 : Close(file);
        _ = saved < 0 ? 0 : Close(saved);
        Gate.Exit();
        return null;
    }

    /// <summary>What was written so far, up to 64 KiB; it is not given back to standard error.</summary>
    public string Take()
    {
        var buffer = new byte[64 * 1024];
        fixed (byte* pointer = buffer)
        {
            var count = Math.Max(0, ReadAt(file, pointer, (nuint)buffer.Length, 0));
            taken = count;
            return Encoding.UTF8.GetString(buffer, 0, (int)count);
        }
    }

    /// <summary>Restores standard error, and writes to it what was captured and not taken.</summary>
    public void Dispose()
    {
        NativeLog.Release();
        _ = DuplicateTo(saved, StandardError);
        var buffer = stackalloc byte[4096];
        var at = taken;
        for (nint count; (count = ReadAt(file, buffer, 4096, at)) > 0; at += count)
        {
            _ = Write(StandardError, buffer, (nuint)count);
        }

        _ = Close(saved);
        _ = Close(file);
        Gate.Exit();
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemoryFile(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int DuplicateTo(int from, int to);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "pread")]
    private static partial nint ReadAt(int descriptor, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(int descriptor, byte* buffer, nuint count);
}
