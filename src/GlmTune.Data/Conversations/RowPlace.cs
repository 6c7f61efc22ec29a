using System.Globalization;

namespace GlmTune.Data.Conversations;

/// <summary>Where a row is in its file.</summary>
/// <param name="Line">The line it begins on, from 1; 0 if it is from no file.</param>
/// <param name="Entry">Which entry of a JSON array it is, from 1; null in a file of one object a line, where the line
/// says it.</param>
public readonly record struct RowPlace(int Line, int? Entry = null)
{
    /// <summary>The number that tells the row from the others of its file: the entry, or else the line.</summary>
    public int Number => Entry ?? Line;

    /// <summary><c>line 5</c>, or <c>entry 17 (line 3)</c>.</summary>
    public override string ToString() =>
        Entry is { } entry
            ? string.Create(CultureInfo.InvariantCulture, $"entry {entry} (line {Line})")
            : string.Create(CultureInfo.InvariantCulture, $"line {Line}");
}
