using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Dispatch;

namespace GlmTune.Kernels.Tests;

/// <summary>One refusal of a library is not one for good, nor one for all.</summary>
public class CaseProbeTests
{
    private const string NoMemory = "CUDA out of memory. Tried to allocate 2.00 MiB.";

    private readonly CaseProbe<int> probe = new();
    private int tried;

    [Fact]
    public void A_case_that_works_is_tried_once()
    {
        Assert.Equal((true, null), Ask(64));
        Assert.Equal((true, null), Ask(64));
        Assert.Equal(1, tried);
    }

    [Fact]
    public void A_refusal_holds_for_its_case_alone_and_says_why()
    {
        Assert.Equal(
            (false, "was refused: No execution plans support the graph"),
            Ask(96, "No execution plans support the graph.\nAt: frontend.h")
        );
        Assert.Equal((true, null), Ask(64));
        for (var i = 0; i < (2 * CaseProbe<int>.CallsBeforeRetry) + 1; i++)
        {
            Assert.False(Ask(96).Supported);
        }

        Assert.Equal(2, tried);
    }

    [Fact]
    public void A_case_that_failed_for_want_of_memory_is_tried_again_but_not_at_every_call()
    {
        Assert.Equal((false, "could not be tried because memory ran out"), Ask(64, NoMemory));
        for (var call = 1; call < CaseProbe<int>.CallsBeforeRetry; call++)
        {
            Assert.False(Ask(64).Supported);
        }

        Assert.Equal(1, tried);
        Assert.Equal((true, null), Ask(64));
        Assert.Equal(2, tried);
        Assert.Equal((true, null), Ask(64));
        Assert.Equal(2, tried);
    }

    [Fact]
    public void Nothing_is_tried_while_it_may_not_be()
    {
        Assert.Equal((false, null), Ask(64, mayTry: false));
        Assert.Equal(0, tried);
        Ask(64, NoMemory);
        for (var call = 0; call < 2 * CaseProbe<int>.CallsBeforeRetry; call++)
        {
            Assert.False(Ask(64, mayTry: false).Supported);
        }

        Assert.Equal(1, tried);
    }

    [Fact]
    public void A_defect_is_not_taken_for_a_refusal() =>
        Assert.Throws<ArgumentException>(() =>
            probe.CanDo(64, () => throw new ArgumentException("defect"), error => error is AtenException, true, out _)
        );

    private (bool Supported, string? Reason) Ask(int which, string? error = null, bool mayTry = true)
    {
        var supported = probe.CanDo(
            which,
            () =>
            {
                tried++;
                if (error is not null)
                {
                    throw new AtenException(error);
                }
            },
            raised => raised is AtenException,
            mayTry,
            out var reason
        );
        return (supported, reason);
    }
}
