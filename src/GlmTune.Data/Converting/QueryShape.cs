using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>ms-swift: <c>{"query", "response", "history", "system", "tools"}</c>, where history holds pairs of question
/// and answer.</summary>
internal sealed class QueryShape : RowShape
{
    private static readonly string[] Used = ["query", "response", "history"];

    public override string Name => "ms-swift";

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place)
    {
        JsonNode[] messages =
        [
            .. History(entry),
            Message("user", Text(entry, "query")),
            Message("assistant", Text(entry, "response")),
        ];
        var row = new JsonObject { ["messages"] = new JsonArray(messages) };
        return new ConvertedEntry([Read(entry, Used, row, file, place)]);
    }
}
