using System.Runtime.InteropServices;
using GlmTune.Kernels.Dispatch;

namespace GlmTune.Cli;

/// <summary>Recognizes errors that mean that a device or the host has run out of memory.</summary>
internal static class OutOfMemory
{
    // Texts of libtorch's allocators and of the CUDA driver.
    private static readonly string[] Words =
    [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "CUDA_ERROR_OUT_OF_MEMORY",
        "failed to allocate",
    ];

    /// <summary>Which memory ran out, as a sentence; null if the error means something else.</summary>
    /// <param name="exception">Any error; its inner exceptions are also examined.</param>
    public static string? Find(Exception? exception) =>
        exception switch
        {
            null => null,
            OutOfMemoryException => "host memory is exhausted.",
            ExternalException or AtenException when Line(exception.Message) is { } line => line,
            _ => Find(exception.InnerException),
        };

    // The relevant line, without the stack trace that libtorch appends.
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
