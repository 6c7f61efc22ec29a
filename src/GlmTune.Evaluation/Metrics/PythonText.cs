using System.Globalization;

namespace GlmTune.Evaluation.Metrics;

/// <summary>White space and rounding with Python's rules, on which the scores depend.</summary>
internal static class PythonText
{
    /// <summary>Python also treats the four ASCII separators as white space.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f';

    public static string TrimEnd(string text)
    {
        var end = text.Length;
        while (end > 0 && IsSpace(text[end - 1]))
        {
            end--;
        }

        return text[..end];
    }

    /// <summary>The trimmed text.</summary>
    public static string Trim(string text)
    {
        var begin = 0;
        while (begin < text.Length && IsSpace(text[begin]))
        {
            begin++;
        }

        return TrimEnd(text[begin..]);
    }

    /// <summary>The text split at runs of white space.</summary>
    public static List<string> Split(string text)
    {
        var pieces = new List<string>();
        for (var begin = 0; begin < text.Length;)
        {
            var end = begin;
            while (end < text.Length && !IsSpace(text[end]))
            {
                end++;
            }

            if (end > begin)
            {
                pieces.Add(text[begin..end]);
            }

            begin = end + 1;
        }

        return pieces;
    }

    /// <summary>Rounds by the number's exact decimal expansion. <see cref="Math.Round(double, int)"/> multiplies first
    /// and can be off near the midpoint.</summary>
    public static double Round4(double value) =>
        double.Parse(value.ToString("F4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}
