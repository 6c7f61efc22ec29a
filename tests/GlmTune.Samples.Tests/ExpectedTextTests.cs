using Xunit.Sdk;

namespace GlmTune.Samples.Tests;

public sealed class ExpectedTextTests
{
    [Theory]
    [InlineData("step 3: loss 2.50\n", "step 3: loss 2.53\r\n")]
    [InlineData("a\n\nb", "a\nb\n")]
    public void Rounding_and_line_ends_may_differ(string expected, string actual) =>
        ExpectedText.Check(expected, actual);

    [Theory]
    [InlineData("step 3: loss 2.50", "step 3: loss 2.70")]
    [InlineData("step 3: loss 2.50", "step 4: loss 2.50")]
    [InlineData("a\nb", "a")]
    [InlineData("a", "a\nb")]
    public void Other_differences_are_found(string expected, string actual) =>
        Assert.ThrowsAny<XunitException>(() => ExpectedText.Check(expected, actual));
}
