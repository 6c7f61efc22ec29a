namespace GlmTune.Data.Conversations;

/// <summary>A message with the ids that its row gives to calls and results.</summary>
/// <param name="Message">The message.</param>
/// <param name="Index">Index of the message in the row that it came from.</param>
/// <param name="IsCall">Whether it calls a tool.</param>
/// <param name="Id">Id of a call; for a result, the id of the call that it answers; null if there is none.</param>
internal readonly record struct Turn(Message Message, int Index, bool IsCall = false, string? Id = null);

/// <summary>Sorts tool results of data files into the order of the calls they name.</summary>
internal static class ToolResults
{
    public static IEnumerable<Message> InOrder(List<Turn> turns, RowReading reading) =>
        ToolResultOrder
            .Sort(
                turns,
                CallIds,
                turn => turn.Message.Role == Role.Observation,
                turn => turn.Id,
                found => reading.Problem(turns[found.Message].Index, $"'{found.Field}' {found.Text}.")
            )
            .Select(turn => turn.Message);

    private static IEnumerable<string?>? CallIds(Turn turn) =>
        turn.Message.Role != Role.Assistant ? null
        : turn.IsCall ? [turn.Id]
        : [];
}
