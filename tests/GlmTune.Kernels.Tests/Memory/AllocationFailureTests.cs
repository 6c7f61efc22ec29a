using System.Runtime.InteropServices;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Memory;
using Xunit;

namespace GlmTune.Kernels.Tests.Memory;

#pragma warning disable CA2201 // These are the types that libtorch's binding and the runtime throw.

public sealed class AllocationFailureTests
{
    private const string OfLibtorch =
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.11 GiB of which "
        + "512.00 MiB is free. Including non-PyTorch memory, this process has 78.50 GiB memory in use. Of the "
        + "allocated memory 76.25 GiB is allocated by PyTorch, and 1.50 GiB is reserved by PyTorch but "
        + "unallocated. If reserved but unallocated memory is large try setting "
        + "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.";

    [Fact]
    public void What_the_gpus_allocator_says_is_read_and_said_in_one_sentence()
    {
        var failure = AllocationFailure.Find(new AggregateException(new ExternalException(OfLibtorch)))!;
        Assert.Equal(("GPU 1", 2L << 30, 512L << 20), (failure.Where, failure.Requested, failure.Free));
        Assert.Equal((305L << 28, 3L << 29), (failure.InTensors, failure.Cached));
        Assert.Equal(
            "Out of memory: 2 GiB could not be allocated on GPU 1 (512 MiB free of 79.1 GiB, tensors take 76.3 GiB, "
                + "1.5 GiB are reserved but too scattered).",
            failure.ToString()
        );
    }

    public static TheoryData<Exception, string> Others =>
        new()
        {
            { new OutOfMemoryException(), "an allocation on the host failed" },
            {
                new CudaException("CUDA could not lock 4194304 bytes of host memory: out of memory (error 2)."),
                "4 MiB could not be allocated on the host"
            },
            {
                new CudaException("CUDA could not instantiate the captured graph: out of memory (error 2)."),
                "an allocation on the GPU failed"
            },
            {
                new IOException(
                    "ncclCommInitRank failed: unhandled cuda error: Cuda failure 2 'out of memory'. Set "
                        + "NCCL_DEBUG=INFO for details."
                ),
                "an allocation on the GPU failed"
            },
            {
                new ExternalException("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
                "an allocation on the GPU failed"
            },
            {
                new InvalidOperationException(
                    "outside",
                    new AtenException(
                        "aten::outer failed: DefaultCPUAllocator: can't allocate memory: you tried to "
                            + "allocate 1048576 bytes. Error code 12"
                    )
                ),
                "1 MiB could not be allocated on the host"
            },
        };

    [Theory]
    [MemberData(nameof(Others))]
    public void Whoever_reports_it_is_understood(Exception error, string sentence) =>
        Assert.StartsWith(
            $"Out of memory: {sentence}",
            AllocationFailure.Find(error)?.ToString(),
            StringComparison.Ordinal
        );

    public static TheoryData<Exception> Unrelated =>
        [
            new InvalidDataException("out of memory.jsonl: line 3 is empty."),
            new FileNotFoundException("out of memory.jsonl: file not found."),
            new ExternalException("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
            new OperationCanceledException(),
        ];

    [Theory]
    [MemberData(nameof(Unrelated))]
    public void Other_errors_are_not_taken_for_it(Exception error) => Assert.Null(AllocationFailure.Find(error));

    [Theory]
    [InlineData("24GiB", 24L << 30)]
    [InlineData("80 GB", 80_000_000_000)]
    [InlineData("16g", 16L << 30)]
    [InlineData("1.5 KiB", 1536)]
    [InlineData("512", 512)]
    public void Amounts_are_read(string text, long bytes)
    {
        Assert.True(ByteCount.TryRead(text, out var found));
        Assert.Equal(bytes, found);
    }

    [Theory]
    [InlineData("")]
    [InlineData("GiB")]
    [InlineData("-1 GiB")]
    [InlineData("24 GiBs")]
    [InlineData("1.2.3")]
    [InlineData("99999999999 TiB")]
    [InlineData("0")]
    public void What_is_no_amount_is_refused(string text) => Assert.False(ByteCount.TryRead(text, out _));
}
