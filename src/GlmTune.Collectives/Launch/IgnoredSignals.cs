using System.Globalization;

namespace GlmTune.Collectives;

/// <summary>The signals that were ignored when this process started, as <c>nohup</c> does with SIGHUP. A program should
/// leave them ignored.</summary>
internal static class IgnoredSignals
{
    private const string Field = "SigIgn:";
    private static readonly ulong Mask = Read();

    /// <summary>Whether a signal was ignored when this class was first used; false where the system does not
    /// say.</summary>
    /// <param name="number">The system's number of the signal, from 1.</param>
    public static bool Contain(int number) => IsIn(Mask, number);

    /// <summary>The mask of ignored signals in the text of <c>/proc/self/status</c>; 0 if it has none.</summary>
    internal static ulong MaskIn(string status)
    {
        var line = status.Split('\n').FirstOrDefault(line => line.StartsWith(Field, StringComparison.Ordinal));
        return ulong.TryParse(
            line?[Field.Length..].Trim(),
            NumberStyles.AllowHexSpecifier,
            CultureInfo.InvariantCulture,
            out var mask
        )
            ? mask
            : 0;
    }

    /// <summary>Whether a mask has the bit of a signal.</summary>
    internal static bool IsIn(ulong mask, int number) => number is > 0 and <= 64 && (mask >> (number - 1) & 1) != 0;

    private static ulong Read()
    {
        try
        {
            return OperatingSystem.IsLinux() ? MaskIn(File.ReadAllText("/proc/self/status")) : 0;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }
}
