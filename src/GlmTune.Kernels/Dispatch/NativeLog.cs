using System.Runtime.InteropServices;
using GlmTune.Kernels.Native;

namespace GlmTune.Kernels.Dispatch;

/// <summary>What libtorch prints to standard error of a failed call: its reason and thirty lines of C++
/// stack.</summary>
/// <remarks>Nobody should see it who gets the reason as an exception. The level is one for all threads, so now and then
/// a line too many is printed. Source: c10/util/Logging
/// of PyTorch 2.10, <c>FLAGS_caffe2_log_level</c>.</remarks>
internal static unsafe class NativeLog
{
    // GLOG_FATAL; errors are 2.
    private const int NoErrors = 3;

    private static readonly int* Level = Find();
    private static readonly int Usual = Level == null ? 0 : *Level;
    private static readonly Lock Gate = new();
    private static bool held;

    /// <summary>Errors are not printed from here on, unless somebody reads them.</summary>
    public static void Mute()
    {
        if (Level != null)
        {
            lock (Gate)
            {
                *Level = held ? NoErrors - 1 : NoErrors;
            }
        }
    }

    /// <summary>They are again, as the user has set it.</summary>
    public static void Unmute()
    {
        if (Level != null)
        {
            lock (Gate)
            {
                *Level = held ? NoErrors - 1 : Usual;
            }
        }
    }

    /// <summary>Errors are printed, whatever other threads mute, until <see cref="Release"/>: somebody reads them. One
    /// at a time.</summary>
    public static void Hold() => Set(true);

    /// <summary>Ends <see cref="Hold"/>.</summary>
    public static void Release() => Set(false);

    private static void Set(bool hold)
    {
        lock (Gate)
        {
            held = hold;
            if (Level != null)
            {
                *Level = hold ? NoErrors - 1 : Usual;
            }
        }
    }

    private static int* Find()
    {
        var name = OperatingSystem.IsMacOS() ? "libc10.dylib" : "libc10.so";
        return
            !OperatingSystem.IsWindows()
            && NativeLibrary.TryLoad(Path.Combine(NativeRuntime.Load().Folder, name), out var library)
            && NativeLibrary.TryGetExport(library, "FLAGS_caffe2_log_level", out var address)
            ? (int*)address
            : null;
    }
}
