using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>Alpaca: <c>{"instruction", "input", "output"}</c>, optionally with <c>system</c> and <c>history</c> (pairs
/// of question and answer), as some data sets add. <c>{"input", "output"}</c> alone is a question and its
/// answer.</summary>
internal sealed class AlpacaShape : RowShape
{
    private static readonly string[] Used = ["instruction", "input", "output", "history", "system"];

    public override string Name => "alpaca";

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place)
    {
        if (!entry.TryGetProperty("output", out _) && RowKeys.OfPreference(entry) is { } preference)
        {
            throw new InvalidDataException(preference);
        }

        var instruction = OptionalText(entry, "instruction") ?? "";
        var input = OptionalText(entry, "input") ?? "";
        var question =
            instruction.Length > 0 && input.Length > 0 ? $"{instruction}\n{input}"
            : instruction.Length > 0 ? instruction
            : input.Length > 0 ? input
            : Text(entry, "instruction");
        JsonNode[] messages =
        [
            .. History(entry),
            Message("user", question),
            Message("assistant", Text(entry, "output")),
        ];
        var row = new JsonObject { ["system"] = OptionalText(entry, "system"), ["messages"] = new JsonArray(messages) };
        return new ConvertedEntry([Read(entry, Used, row, file, place)]);
    }
}
