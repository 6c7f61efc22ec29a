using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using GlmTune.Files;

namespace GlmTune.Evaluation;

/// <summary>One generated text beside the text it should be.</summary>
/// <param name="Prediction">What was generated.</param>
/// <param name="Label">What was expected.</param>
public sealed record PredictionRow(string Prediction, string Label)
{
    /// <summary>What else the line holds, by name; kept when the row is written again.</summary>
    public IReadOnlyDictionary<string, JsonElement> Extra { get; init; } = new Dictionary<string, JsonElement>();
}

/// <summary>Predictions as JSON lines: each an object with the texts <c>prediction</c> and <c>label</c>, and whatever
/// else.</summary>
public static class PredictionFile
{
    private const int ProblemsShown = 20;

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Reads all rows; blank lines are skipped.</summary>
    /// <exception cref="InvalidDataException">Lines are not such objects, or there are none; the message has every such
    /// line's number.</exception>
    public static IReadOnlyList<PredictionRow> Read(string path)
    {
        var rows = new List<PredictionRow>();
        var problems = new List<string>();
        var number = 0;
        foreach (var line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            try
            {
                rows.Add(ReadLine(line));
            }
            catch (Exception exception)
                when (exception is JsonException or InvalidOperationException or InvalidDataException)
            {
                problems.Add($"{path}, line {number}: {exception.Message}");
            }
        }

        if (problems.Count > 0)
        {
            var more = problems.Count > ProblemsShown ? $"\n… and {problems.Count - ProblemsShown} more lines." : "";
            throw new InvalidDataException(string.Join('\n', problems.Take(ProblemsShown)) + more);
        }

        return rows.Count > 0
            ? rows
            : throw new InvalidDataException(
                $"{path}: has no rows; expected JSON Lines with 'prediction' and 'label'."
            );
    }

    /// <summary>Writes all rows; the file is there whole or not at all.</summary>
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

    private static PredictionRow ReadLine(string line)
    {
        using var json = JsonDocument.Parse(line, new JsonDocumentOptions { AllowDuplicateProperties = false });
        if (json.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw new InvalidDataException(
                $"found {Describe(json.RootElement)}; expected an object with 'prediction' and 'label'."
            );
        }

        return new PredictionRow(ReadText(json.RootElement, "prediction"), ReadText(json.RootElement, "label"))
        {
            Extra = json
                .RootElement.EnumerateObject()
                .Where(property => property.Name is not ("prediction" or "label"))
                .ToDictionary(property => property.Name, property => property.Value.Clone()),
        };
    }

    private static string ReadText(JsonElement row, string name) =>
        !row.TryGetProperty(name, out var value)
            ? throw new InvalidDataException($"has no '{name}'; expected an object with 'prediction' and 'label'.")
        : value.ValueKind != JsonValueKind.String
            ? throw new InvalidDataException($"'{name}' is {Describe(value)}; expected a string.")
        : value.GetString()!;

    private static string Describe(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "a list",
            JsonValueKind.String => "a text",
            _ => value.GetRawText(),
        };
}
