using System.Globalization;

namespace GlmTune.Kernels.Memory;

/// <summary>Amounts of memory as text.</summary>
internal static class ByteCount
{
    private static readonly string[] Units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    /// <summary>Such as <c>19.3 GiB</c>, <c>512 bytes</c>.</summary>
    public static string Text(long bytes)
    {
        var (value, unit) = ((double)bytes, 0);
        while (Math.Abs(value) >= 1024 && unit < Units.Length - 1)
        {
            (value, unit) = (value / 1024, unit + 1);
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#} {Units[unit]}");
    }

    /// <summary>Reads such a text: a number, and a unit of 1024 (<c>GiB</c>, <c>G</c>) or of 1000
    /// (<c>GB</c>).</summary>
    /// <returns>False where it is none, or not a positive amount.</returns>
    public static bool TryRead(string text, out long bytes)
    {
        bytes = 0;
        var digits = text.TrimStart().TakeWhile(letter => char.IsAsciiDigit(letter) || letter == '.').Count();
        var trimmed = text.Trim();
        if (
            digits == 0
            || !double.TryParse(
                trimmed[..digits],
                NumberStyles.AllowDecimalPoint,
                CultureInfo.InvariantCulture,
                out var value
            )
        )
        {
            return false;
        }

        double? factor = trimmed[digits..].Trim().ToUpperInvariant() switch
        {
            "" or "B" or "BYTES" => 1,
            "K" or "KIB" => 1L << 10,
            "M" or "MIB" => 1L << 20,
            "G" or "GIB" => 1L << 30,
            "T" or "TIB" => 1L << 40,
            "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            _ => null,
        };
        if (factor is null || value * factor is not (>= 1 and < long.MaxValue))
        {
            return false;
        }

        bytes = (long)(value * factor.Value);
        return true;
    }
}
