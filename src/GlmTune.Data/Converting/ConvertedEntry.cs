using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>What became of one entry.</summary>
/// <param name="Rows">Its conversations, each good or with what is wrong with it.</param>
public sealed record ConvertedEntry(IReadOnlyList<ConversationRow> Rows);
