using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>ms-swift: <c>{"query", "response", "history", "system", "tools"}</c>, where history holds pairs of question
/// and answer. The question may also be called <c>prompt</c> or <c>question</c>, the answer <c>completion</c> or
/// <c>answer</c>, as in other data sets.</summary>
internal sealed class QueryShape : RowShape
{
    private static readonly string[] Questions = ["query", "prompt", "question"];
    private static readonly string[] Answers = ["response", "completion", "answer"];
    private static readonly string[] Used = [.. Questions, .. Answers, "history"];

    public override string Name => "ms-swift";

    /// <summary>Whether a row has one question and one answer.</summary>
    public static bool Fits(JsonElement row) => Named(row, Questions).Count == 1 && Named(row, Answers).Count == 1;

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place)
    {
        JsonNode[] messages =
        [
            .. History(entry),
            Message("user", Text(entry, OneOf(entry, Questions))),
            Message("assistant", Text(entry, OneOf(entry, Answers))),
        ];
        var row = new JsonObject { ["messages"] = new JsonArray(messages) };
        return new ConvertedEntry([Read(entry, Used, row, file, place)]);
    }

    private static List<string> Named(JsonElement row, string[] names) =>
        [.. names.Where(name => row.TryGetProperty(name, out _))];

    private static string OneOf(JsonElement entry, string[] names) =>
        Named(entry, names) switch
        {
            [] => names[0],
            [var only] => only,
            var several => throw new InvalidDataException(
                $"has {string.Join(" and ", several.Select(name => $"'{name}'"))}; expected one of them."
            ),
        };
}
