using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Evaluation;

/// <summary>A generated text with its reference.</summary>
/// <param name="Prediction">The generated text.</param>
/// <param name="Label">The reference.</param>
internal sealed record PredictionRow(string Prediction, string Label)
{
    /// <summary>The line's other keys, kept when the row is written again.</summary>
    public IReadOnlyDictionary<string, JsonElement> Extra { get; init; } = new Dictionary<string, JsonElement>();
}

/// <summary>Predictions in JSON Lines: objects with the strings <c>prediction</c> and <c>label</c>, and any other
/// keys.</summary>
internal static class PredictionFile
{
    private const int ProblemsShown = 20;

    // Names that other programs use.
    private static readonly string[] PredictionNames = ["prediction", "predict", "response"];
    private static readonly string[] LabelNames = ["label", "labels"];

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Reads all rows. Blank lines are skipped, and so are rows with an <c>error</c> instead of a
    /// prediction.</summary>
    /// <param name="path">The file.</param>
    /// <param name="note">Receives the number of rows with an error.</param>
    /// <exception cref="InvalidDataException">Some lines are not such objects, or there are none; the message lists the
    /// line numbers.</exception>
    public static IReadOnlyList<PredictionRow> Read(string path, Action<string>? note = null)
    {
        var rows = new List<PredictionRow>();
        var failed = 0;
        var problems = new List<string>();
        var number = 0;
        using var file = new StreamReader(RegularFile.OpenStream(path));
        while (file.ReadLine() is { } line)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            try
            {
                if (ReadLine(line) is { } row)
                {
                    rows.Add(row);
                }
                else
                {
                    failed++;
                }
            }
            catch (InvalidDataException exception)
            {
                problems.Add($"{path}, line {number}: {exception.Message}");
            }
        }

        if (problems.Count > 0)
        {
            var more = problems.Count > ProblemsShown ? $"\n… and {problems.Count - ProblemsShown} more lines." : "";
            throw new InvalidDataException(string.Join('\n', problems.Take(ProblemsShown)) + more);
        }

        if (rows.Count == 0)
        {
            throw new InvalidDataException(
                failed > 0
                    ? $"{path}: all {failed} rows have an error instead of a prediction; there is nothing to score."
                    : $"{path}: has no rows; expected JSON Lines with 'prediction' and 'label'."
            );
        }

        if (failed > 0)
        {
            note?.Invoke(
                $"{path}: {failed} of {rows.Count + failed} rows have an error instead of a prediction and "
                    + "are not scored."
            );
        }

        return rows;
    }

    /// <summary>Writes all rows atomically.</summary>
    public static void Write(string path, IEnumerable<PredictionRow> rows)
    {
        var text = new StringBuilder();
        foreach (var row in rows)
        {
            text.Append(ToLine(row)).Append('\n');
        }

        AtomicFile.WriteText(path, text.ToString());
    }

    /// <summary>A row as one line of JSON, without the line break.</summary>
    public static string ToLine(PredictionRow row)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, Relaxed))
        {
            json.WriteStartObject();
            json.WriteString("prediction", row.Prediction);
            json.WriteString("label", row.Label);
            foreach (var (name, value) in row.Extra)
            {
                json.WritePropertyName(name);
                value.WriteTo(json);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    // Null if the row has an error instead.
    private static PredictionRow? ReadLine(string line)
    {
        if (JsonFile.TryParse(line, out var row) is { } fault)
        {
            throw new InvalidDataException(
                $"not valid JSON at character {fault.PlaceIn(Encoding.UTF8.GetBytes(line)).Character}: {fault.Text}"
            );
        }

        if (row.ValueKind != JsonValueKind.Object)
        {
            throw new InvalidDataException(
                $"found {JsonFile.Describe(row)}; expected an object with 'prediction' and 'label'."
            );
        }

        if (
            row.TryGetProperty("error", out var error)
            && error.ValueKind == JsonValueKind.String
            && row.TryGetProperty(PredictionNames[0], out var none)
            && none.ValueKind == JsonValueKind.Null
        )
        {
            return null;
        }

        var (prediction, label) = (NameIn(row, PredictionNames), NameIn(row, LabelNames));
        return new PredictionRow(ReadText(row, prediction), ReadText(row, label))
        {
            Extra = row.EnumerateObject()
                .Where(property => property.Name != prediction && property.Name != label)
                .ToDictionary(property => property.Name, property => property.Value),
        };
    }

    private static string NameIn(JsonElement row, string[] names) =>
        names.Where(name => row.TryGetProperty(name, out _)).ToList() switch
        {
            [var only] => only,
            [] => throw new InvalidDataException(
                $"has no '{names[0]}'; found {Keys(row)}. Expected an object with 'prediction' and 'label'."
            ),
            var several => throw new InvalidDataException(
                $"has {string.Join(" and ", several.Select(name => $"'{name}'"))}; expected one of them."
            ),
        };

    private static string Keys(JsonElement row)
    {
        var names = row.EnumerateObject().Select(property => $"'{property.Name}'").Take(8).ToList();
        return names.Count == 0 ? "an empty object" : string.Join(", ", names);
    }

    private static string ReadText(JsonElement row, string name) =>
        row.GetProperty(name) is { ValueKind: JsonValueKind.String } value
            ? value.GetString()!
            : throw new InvalidDataException(
                $"'{name}' is {JsonFile.Describe(row.GetProperty(name))}; expected a string."
            );
}
