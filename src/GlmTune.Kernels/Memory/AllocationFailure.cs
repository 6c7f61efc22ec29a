using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Dispatch;

namespace GlmTune.Kernels.Memory;

/// <summary>A failed allocation of memory: the one place that distinguishes it from other errors, whatever reported
/// it.</summary>
/// <remarks>Recognised are libtorch's allocators for GPU and host, through TorchSharp or its C interface; the CUDA
/// driver (page-locked memory, graphs, kernels); cuBLAS and cuDNN, whose workspaces use the same memory; NCCL; and
/// .NET.</remarks>
/// <param name="Where">Whose memory: "GPU 0", "the GPU", "the host".</param>
/// <param name="Requested">Bytes requested; null: unknown.</param>
/// <param name="Free">Bytes free there; null: unknown.</param>
/// <param name="Total">Total bytes there; null: unknown.</param>
/// <param name="InTensors">Bytes of this process's tensors there; null: unknown.</param>
/// <param name="Cached">Bytes held by the allocator without being in use; null: unknown.</param>
internal sealed partial record AllocationFailure(
    string Where,
    long? Requested,
    long? Free = null,
    long? Total = null,
    long? InTensors = null,
    long? Cached = null
)
{
    private const string Host = "the host";
    private const string Gpu = "the GPU";

    // Texts of errors, and whose memory they mean; null: the text says so.
    private static readonly (string Text, string Where)[] Signs =
    [
        ("CUDA out of memory", Gpu),
        ("host memory: out of memory", Host),
        ("can't allocate memory", Host),
        ("CUDA_ERROR_OUT_OF_MEMORY", Gpu),
        ("CUBLAS_STATUS_ALLOC_FAILED", Gpu),
        ("CUDNN_STATUS_ALLOC_FAILED", Gpu),
        ("CUDA error: out of memory", Gpu),
        ("not enough memory", Host),
        ("bad_alloc", Host),
        ("Cannot allocate memory", Host),
        ("out of memory", Gpu),
    ];

    /// <summary>The failed allocation behind an error; null if the error means something else.</summary>
    /// <param name="exception">Any error; its inner exceptions are also examined.</param>
    public static AllocationFailure? Find(Exception? exception) =>
        exception switch
        {
            null => null,
            MemoryExhaustedException exhausted => exhausted.Failure,
            AggregateException all => all.InnerExceptions.Select(Find).FirstOrDefault(found => found is not null),
            OutOfMemoryException => new AllocationFailure(Host, null),
            ExternalException
            or AtenException
            or CudaException
            or InvalidOperationException when Read(exception.Message) is { } found => found,
            // NCCL's; a file that cannot be found has a type of its own.
            IOException when exception.GetType() == typeof(IOException) && Read(exception.Message) is { } found =>
                found,
            _ => Find(exception.InnerException),
        };

    /// <summary>One sentence: what was requested and where, and how much there was.</summary>
    public override string ToString()
    {
        var what = Requested is { } bytes
            ? $"{ByteCount.Text(bytes)} could not be allocated on {Where}"
            : $"an allocation on {Where} failed";
        string?[] parts =
        [
            Free is { } free
                ? $"{ByteCount.Text(free)} free{(Total is { } total ? $" of {ByteCount.Text(total)}" : "")}"
                : null,
            InTensors is { } tensors ? $"tensors take {ByteCount.Text(tensors)}" : null,
            Cached is { } cached ? $"{ByteCount.Text(cached)} are reserved but too scattered" : null,
        ];
        var known = string.Join(", ", parts.Where(part => part is not null));
        return $"Out of memory: {what}{(known.Length == 0 ? "" : $" ({known})")}.";
    }

    private static AllocationFailure? Read(string message)
    {
        var (sign, where) = Array.Find(Signs, each => message.Contains(each.Text, StringComparison.OrdinalIgnoreCase));
        if (sign is null)
        {
            return null;
        }

        var gpu = GpuNumber().Match(message);
        return new AllocationFailure(
            where == Gpu && gpu.Success ? $"GPU {gpu.Groups[1].Value}" : where,
            Amount(Tried().Match(message)),
            Amount(FreeOf().Match(message)),
            Amount(Capacity().Match(message)),
            Amount(ByTensors().Match(message)),
            Amount(Unused().Match(message))
        );
    }

    private static long? Amount(Match match) =>
        match.Success && ByteCount.TryRead(match.Groups[1].Value, out var bytes) ? bytes : null;

    [GeneratedRegex(@"\bGPU (\d+)\b")]
    private static partial Regex GpuNumber();

    [GeneratedRegex(@"(?:[Tt]ried to allocate|lock|allocate) (\d[\d.]* ?(?:[KMGT]i?B|bytes))")]
    private static partial Regex Tried();

    [GeneratedRegex(@"of which (\d[\d.]* ?[KMGT]?i?B(?:ytes)?|\d+ bytes) is free")]
    private static partial Regex FreeOf();

    [GeneratedRegex(@"total capacity of (\d[\d.]* ?[KMGT]?i?B)")]
    private static partial Regex Capacity();

    [GeneratedRegex(@"allocated memory (\d[\d.]* ?(?:[KMGT]?i?B|bytes)) is allocated by PyTorch")]
    private static partial Regex ByTensors();

    [GeneratedRegex(@"and (\d[\d.]* ?(?:[KMGT]?i?B|bytes)) is reserved by PyTorch but unallocated")]
    private static partial Regex Unused();
}

/// <summary>Memory ran out; the message says what was requested, what uses the memory, and what to change.</summary>
public sealed class MemoryExhaustedException : Exception
{
    /// <param name="failure">The failed allocation.</param>
    /// <param name="details">What uses the memory and what to change, in sentences; may be empty.</param>
    /// <param name="cause">The original error.</param>
    internal MemoryExhaustedException(AllocationFailure failure, string details, Exception? cause = null)
        : base(details.Length == 0 ? failure.ToString() : $"{failure} {details}", cause) => Failure = failure;

    /// <summary>The failed allocation.</summary>
    internal AllocationFailure Failure { get; }
}
