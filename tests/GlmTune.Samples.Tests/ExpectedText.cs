using System.Globalization;
using System.Text.RegularExpressions;

namespace GlmTune.Samples.Tests;

/// <summary>Compares an output with an expected one: numbers with decimals within 3 %, because processors round
/// differently; everything else exactly.</summary>
internal static partial class ExpectedText
{
    public static void Check(string expected, string actual)
    {
        // Lines without their decimals, then the decimals.
        Assert.Equal(Lines(Decimal().Replace(expected, "#.#")), Lines(Decimal().Replace(actual, "#.#")));
        Assert.All(
            Decimals(expected).Zip(Decimals(actual)),
            pair =>
                Assert.True(
                    Math.Abs(pair.First - pair.Second) <= 0.03 * Math.Abs(pair.First),
                    $"expected {pair.First}, found {pair.Second} in:\n{actual}"
                )
        );
    }

    private static string[] Lines(string text) =>
        text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private static double[] Decimals(string text) =>
        [.. Decimal().Matches(text).Select(match => double.Parse(match.Value, CultureInfo.InvariantCulture))];

    [GeneratedRegex(@"\d+\.\d+")]
    private static partial Regex Decimal();
}
