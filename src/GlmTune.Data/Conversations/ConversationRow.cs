namespace GlmTune.Data.Conversations;

/// <summary>One row of a data file: its conversation, or what is wrong with it.</summary>
/// <param name="Line">Line of the file, from 1.</param>
/// <param name="Conversation">Null when there is a problem.</param>
/// <param name="Problems">All that is wrong with the row; empty when nothing is.</param>
public sealed record ConversationRow(int Line, Conversation? Conversation, IReadOnlyList<DataProblem> Problems);
