using System.Runtime.InteropServices;
using GlmTune.Kernels.Dispatch;

namespace GlmTune.Cli;

/// <summary>Recognises errors that mean that memory ran out, of a device or of the host.</summary>
internal static class OutOfMemory
{
    // What libtorch's allocators and CUDA's driver write.
    private static readonly string[] Words =
    [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "CUDA_ERROR_OUT_OF_MEMORY",
        "failed to allocate",
    ];

    /// <summary>What ran out and where, as a sentence; null: the error means something else.</summary>
    /// <param name="exception">Any error; what caused it is looked at too.</param>
    public static string? Find(Exception? exception) =>
        exception switch
        {
            null => null,
            OutOfMemoryException => "the host's memory does not do.",
            ExternalException or AtenException when Line(exception.Message) is { } line => line,
            _ => Find(exception.InnerException),
        };

    // The line that says so, without the stack that libtorch puts after it.
    private static string? Line(string message) =>
        Array.Find(
            message.Split('\n', StringSplitOptions.TrimEntries),
            line => Array.Exists(Words, word => line.Contains(word, StringComparison.OrdinalIgnoreCase))
        )
            is { } found
            ? found.EndsWith('.')
                ? found
                : found + "."
            : null;
}
