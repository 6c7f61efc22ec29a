using Xunit.Sdk;

namespace GlmTune.Samples.Tests;

public sealed class ExpectedTextTests
{
    [Theory]
    [InlineData("step 3: loss 2.50\n", "step 3: loss 2.53\r\n")]
    [InlineData("a\n\nb", "a\nb\n")]
    [InlineData("on the CPU…\nb", "on the CPU (2 threads), libtorch 2.10.0\nb")]
    public void Rounding_and_line_ends_may_differ(string expected, string actual) =>
        ExpectedText.Check(expected, actual);

    [Theory]
    [InlineData("step 3: loss 2.50", "step 3: loss 2.70")]
    [InlineData("step 3: loss 2.50", "step 4: loss 2.50")]
    [InlineData("a\nb", "a")]
    [InlineData("a", "a\nb")]
    [InlineData("on the CPU…", "on cuda:0")]
    public void Other_differences_are_found(string expected, string actual) =>
        Assert.ThrowsAny<XunitException>(() => ExpectedText.Check(expected, actual));
}
