using System.Globalization;
using System.Text.RegularExpressions;

namespace GlmTune.Samples.Tests;

/// <summary>Compares an output with an expected one, line by line: numbers with decimals within 3 %, because processors
/// round differently; of a line that ends with an ellipsis, which tells about the machine, only the start; everything
/// else exactly.</summary>
internal static partial class ExpectedText
{
    public static void Check(string expected, string actual)
    {
        var (wanted, found) = (Lines(expected), Lines(actual));
        Assert.True(wanted.Length == found.Length, $"expected {wanted.Length} lines, found:\n{actual}");
        Assert.All(wanted.Zip(found), pair => CheckLine(pair.First, pair.Second));
    }

    private static void CheckLine(string expected, string actual)
    {
        if (expected.EndsWith('…'))
        {
            Assert.StartsWith(expected[..^1], actual, StringComparison.Ordinal);
            return;
        }

        // The line without its decimals, then the decimals.
        Assert.Equal(Decimal().Replace(expected, "#.#"), Decimal().Replace(actual, "#.#"));
        Assert.All(
            Decimals(expected).Zip(Decimals(actual)),
            pair =>
                Assert.True(
                    Math.Abs(pair.First - pair.Second) <= 0.03 * Math.Abs(pair.First),
                    $"expected {pair.First}, found {pair.Second} in: {actual}"
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
