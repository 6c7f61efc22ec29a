using GlmTune.Evaluation.Metrics;

namespace GlmTune.Evaluation.Tests.Metrics;

public sealed class RougeTests
{
    [Fact]
    public void N_grams_are_counted_once_and_the_common_subsequence_with_repeats()
    {
        var (one, two, longest) = Rouge.Score(["a", "b", "a", "b"], ["b", "a", "c"]);

        Assert.Equal(new RougeScore(1, 2.0 / 3), one); // {a, b} of {b, a, c}
        Assert.Equal(new RougeScore(1.0 / 2, 1.0 / 2), two); // {ab, ba} and {ba, ac} share ba
        Assert.Equal(new RougeScore(2.0 / 4, 2.0 / 3), longest); // b a
    }

    [Fact]
    public void White_space_words_do_not_count() =>
        Assert.Equal(
            Rouge.Score(["a", "b"], ["a", "c"]),
            Rouge.Score(["a", " ", "\u3000", "b", "\t"], [" ", "a", "c", "\x1f"])
        );

    [Fact]
    public void A_blank_line_inside_a_text_is_an_empty_word()
    {
        // "a \n \n b" has the lines "a ", " " and " b"; the second is a word of nothing.
        var (one, _, longest) = Rouge.Score(["a", "\n", "\n", "b"], ["a", "b"]);

        Assert.Equal(new RougeScore(2.0 / 3, 1), one);
        Assert.Equal(new RougeScore(2.0 / 3, 1), longest);
    }
}
