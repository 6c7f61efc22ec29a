using System.Globalization;

namespace GlmTune.Data.Conversations;

/// <summary>The position of a row in its file.</summary>
/// <param name="Line">The line on which it begins, from 1; 0 if it is not from a file.</param>
/// <param name="Entry">Number of the entry in a JSON array, from 1; null in a file with one object per line.</param>
public readonly record struct RowPlace(int Line, int? Entry = null)
{
    /// <summary>The number that identifies the row in its file: the entry if there is one, otherwise the
    /// line.</summary>
    public int Number => Entry ?? Line;

    /// <summary><c>line 5</c>, or <c>entry 17 (line 3)</c>.</summary>
    public override string ToString() =>
        Entry is { } entry
            ? string.Create(CultureInfo.InvariantCulture, $"entry {entry} (line {Line})")
            : string.Create(CultureInfo.InvariantCulture, $"line {Line}");
}
