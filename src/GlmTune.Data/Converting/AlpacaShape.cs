using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>Alpaca: <c>{"instruction", "input", "output"}</c>, with <c>system</c> and <c>history</c> (pairs of question
/// and answer) as others add them.</summary>
internal sealed class AlpacaShape : RowShape
{
    public override string Name => "alpaca";

    public override IEnumerable<Conversation> Convert(JsonElement entry)
    {
        var messages = new List<Message>();
        foreach (var turn in OptionalArray(entry, "history"))
        {
            if (
                turn.ValueKind != JsonValueKind.Array
                || turn.GetArrayLength() != 2
                || turn.EnumerateArray().Any(text => text.ValueKind != JsonValueKind.String)
            )
            {
                throw new InvalidDataException("an entry of 'history' is not a pair of strings (question, answer).");
            }

            messages.Add(new Message(Role.User, turn[0].GetString()!));
            messages.Add(new Message(Role.Assistant, turn[1].GetString()!));
        }

        var input = OptionalText(entry, "input") ?? "";
        messages.Add(
            new Message(
                Role.User,
                input.Length > 0 ? $"{Text(entry, "instruction")}\n{input}" : Text(entry, "instruction")
            )
        );
        messages.Add(new Message(Role.Assistant, Text(entry, "output")));
        return [WithTools([], OptionalText(entry, "system") ?? "", messages)];
    }
}
