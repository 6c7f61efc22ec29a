namespace GlmTune.Data.Conversations;

/// <summary>A message with the ids that its row gives to calls and results.</summary>
/// <param name="Message">The message.</param>
/// <param name="Index">Index of the message in the row that it came from.</param>
/// <param name="IsCall">Whether it calls a tool.</param>
/// <param name="Id">Id of a call; for a result, the id of the call that it answers; null if there is none.</param>
internal readonly record struct Turn(Message Message, int Index, bool IsCall = false, string? Id = null);

/// <summary>Sorts tool results into the order of the calls that they refer to.</summary>
internal static class ToolResults
{
    public static IEnumerable<Message> InOrder(List<Turn> turns, RowReading reading)
    {
        Check(turns, reading);
        return ToolResultOrder
            .Sort(turns, CallIds, turn => turn.Message.Role == Role.Observation, turn => turn.Id, _ => { })
            .Select(turn => turn.Message);
    }

    private static IEnumerable<string?>? CallIds(Turn turn) =>
        turn.Message.Role != Role.Assistant ? null
        : turn.IsCall ? [turn.Id]
        : [];

    private static void Check(List<Turn> turns, RowReading reading)
    {
        for (var at = 0; at < turns.Count; )
        {
            // Calls may span several messages of the assistant; their results follow after all of them.
            var before = turns.Skip(at).TakeWhile(turn => turn.Message.Role == Role.Assistant).ToList();
            var results = turns
                .Skip(at + before.Count)
                .TakeWhile(turn => turn.Message.Role == Role.Observation)
                .ToList();
            List<Turn> calls = [.. before.Where(turn => turn.IsCall)];
            var found = ToolResultIds.Check([.. calls.Select(call => call.Id)], [.. results.Select(turn => turn.Id)]);
            if (found.Problem is { } problem)
            {
                reading.Problem(found.Result is { } bad ? results[bad].Index : calls[^1].Index, problem);
            }

            at += Math.Max(before.Count + results.Count, 1);
        }
    }
}
