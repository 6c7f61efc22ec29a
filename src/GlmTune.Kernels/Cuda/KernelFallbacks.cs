using System.Collections.Concurrent;

namespace GlmTune.Kernels.Cuda;

/// <summary>Kernels that were not taken for some inputs, and why. Thread-safe.</summary>
internal sealed class KernelFallbacks
{
    private readonly ConcurrentDictionary<(string Kernel, string Reason), bool> seen = new();

    /// <summary>One sentence for each kernel and reason, sorted: "rms_norm needs contiguous inputs".</summary>
    public IReadOnlyList<string> Reasons =>
        [.. seen.Keys.Select(each => $"{each.Kernel} {each.Reason}").Order(StringComparer.Ordinal)];

    /// <summary>Whether a kernel cannot be taken, which is noted.</summary>
    public bool Refuse(KernelGuard guard)
    {
        if (guard.Unmet is not { } need)
        {
            return false;
        }

        Note(guard.Kernel, $"needs {need}");
        return true;
    }

    /// <summary>Notes why something faster was not taken.</summary>
    /// <param name="kernel">What was not taken.</param>
    /// <param name="reason">To follow its name, without a full stop.</param>
    public void Note(string kernel, string reason) => seen.TryAdd((kernel, reason), true);
}
