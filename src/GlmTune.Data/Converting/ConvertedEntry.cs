using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>The result of converting one entry.</summary>
/// <param name="Rows">Its conversations, each valid or with its problems.</param>
internal sealed record ConvertedEntry(IReadOnlyList<ConversationRow> Rows);
