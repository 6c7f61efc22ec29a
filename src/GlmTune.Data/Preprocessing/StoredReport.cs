using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Preprocessing;

/// <summary>What is kept of the report about a data file, in a form that does not depend on the file's name.</summary>
internal sealed record StoredReport
{
    // What a note starts with, in place of the path or the name of the data file.
    private const char PathMark = 'p';
    private const char NameMark = 'n';
    private const char NoMark = '-';

    public required int Rows { get; init; }

    public required int Skipped { get; init; }

    public required int Cut { get; init; }

    public required int LostTheirEnd { get; init; }

    public required int Problems { get; init; }

    public required StoredProblem? FirstProblem { get; init; }

    /// <summary>Notes, each after a character for what it starts with.</summary>
    public required IReadOnlyList<string> Notes { get; init; }

    /// <summary>Fingerprint of the examples.</summary>
    public required string Fingerprint { get; init; }

    public static byte[] Write(SetReport report, string path, string fingerprint) =>
        JsonSerializer.SerializeToUtf8Bytes(
            new StoredReport
            {
                Rows = report.Rows,
                Skipped = report.Skipped,
                Cut = report.Cut,
                LostTheirEnd = report.LostTheirEnd,
                Problems = report.Problems,
                FirstProblem = report.FirstProblem is { } first
                    ? new StoredProblem(first.Place.Line, first.Place.Entry, first.Message, first.Text)
                    : null,
                Notes = [.. report.Notes.Select(note => Marked(note, path))],
                Fingerprint = fingerprint,
            }
        );

    /// <summary>Reads a report about a data file that may have another name now.</summary>
    /// <exception cref="JsonException">It is not a report.</exception>
    public static (SetReport Report, string Fingerprint) Read(byte[] bytes, string path)
    {
        var stored = JsonSerializer.Deserialize<StoredReport>(bytes) ?? throw new JsonException("No report.");
        var report = new SetReport
        {
            Rows = stored.Rows,
            Skipped = stored.Skipped,
            Cut = stored.Cut,
            LostTheirEnd = stored.LostTheirEnd,
            Problems = stored.Problems,
            FirstProblem = stored.FirstProblem is { } first
                ? new DataProblem(path, new RowPlace(first.Line, first.Entry), first.Message, first.Text)
                : null,
            Notes = [.. stored.Notes.Select(note => Unmarked(note, path))],
        };
        return (report, stored.Fingerprint);
    }

    private static string Marked(string note, string path)
    {
        var name = Path.GetFileName(path);
        return note.StartsWith(path, StringComparison.Ordinal) ? PathMark + note[path.Length..]
            : note.StartsWith(name, StringComparison.Ordinal) ? NameMark + note[name.Length..]
            : NoMark + note;
    }

    private static string Unmarked(string note, string path) =>
        note[0] switch
        {
            PathMark => path + note[1..],
            NameMark => Path.GetFileName(path) + note[1..],
            _ => note[1..],
        };
}

/// <summary>A problem without the name of its file.</summary>
internal sealed record StoredProblem(int Line, int? Entry, int? Message, string Text);
