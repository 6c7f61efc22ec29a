namespace GlmTune.Data.Conversations;

/// <summary>One row of a data file: its conversation, or its problems.</summary>
/// <param name="Place">Position in the file.</param>
/// <param name="Conversation">The conversation; null if there is a problem.</param>
/// <param name="Problems">All problems of the row; empty if it is valid.</param>
public sealed record ConversationRow(RowPlace Place, Conversation? Conversation, IReadOnlyList<DataProblem> Problems)
{
    /// <summary>The line in the file, from 1; in a JSON array, the number of the entry.</summary>
    public int Line => Place.Number;

    /// <summary>Ignored keys that have no effect, such as <c>id</c>; keys of messages as <c>messages.name</c>. Without
    /// duplicates.</summary>
    public IReadOnlyCollection<string> IgnoredKeys { get; init; } = [];

    /// <summary>Conversions applied while reading. Without duplicates.</summary>
    public IReadOnlyCollection<string> Notes { get; init; } = [];
}
