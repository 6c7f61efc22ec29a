using GlmTune.Evaluation.Metrics;

namespace GlmTune.Evaluation.Tests.Metrics;

public sealed class BleuTests
{
    [Fact]
    public void Matches_are_clipped_by_the_label()
    {
        // 1-grams 2 of 7; no longer match: 1/(2·6), 1/(4·5), 1/(8·4). The prediction is longer, so no brevity penalty.
        var expected = Math.Pow(2.0 / 7 / 12 / 20 / 32, 0.25);
        Assert.Equal(
            expected,
            Bleu.Score("the the the the the the the".Split(), "the cat is on the mat".Split()),
            1e-15
        );
    }

    [Fact]
    public void A_short_prediction_is_smoothed_and_penalised()
    {
        // 1/1; then the missing orders count one n-gram each: 1/2, 1/4, 1/8. Brevity exp(1 - 3).
        Assert.Equal(Math.Exp(-2) * Math.Pow(1.0 / 64, 0.25), Bleu.Score(["a"], ["a", "b", "c"]), 1e-15);
    }

    [Theory]
    [InlineData("a b c d e", "a b c d e", 1)]
    [InlineData("a b", "c d", 0)]
    public void Equal_texts_score_one_and_strangers_zero(string prediction, string label, double expected) =>
        Assert.Equal(expected, Bleu.Score(prediction.Split(), label.Split()), 1e-15);
}
