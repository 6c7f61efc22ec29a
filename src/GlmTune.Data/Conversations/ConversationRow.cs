namespace GlmTune.Data.Conversations;

/// <summary>One row of a data file: its conversation, or what is wrong with it.</summary>
/// <param name="Place">Where it is in the file.</param>
/// <param name="Conversation">Null when there is a problem.</param>
/// <param name="Problems">All that is wrong with the row; empty when nothing is.</param>
public sealed record ConversationRow(RowPlace Place, Conversation? Conversation, IReadOnlyList<DataProblem> Problems)
{
    /// <summary>The line of the file, from 1; in a JSON array, the number of the entry.</summary>
    public int Line => Place.Number;

    /// <summary>Keys that are not read and change nothing, such as <c>id</c>; those of messages as
    /// <c>messages.name</c>. Each once.</summary>
    public IReadOnlyCollection<string> IgnoredKeys { get; init; } = [];

    /// <summary>What was read in another way than it is written, each once.</summary>
    public IReadOnlyCollection<string> Notes { get; init; } = [];
}
