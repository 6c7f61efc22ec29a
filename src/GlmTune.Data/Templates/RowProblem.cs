using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Why a readable row cannot be used.</summary>
/// <param name="Text">Text for a single row.</param>
/// <param name="Group">How to describe many rows with this problem.</param>
internal sealed record RowProblem(string Text, ProblemGroup? Group = null)
{
    public DataProblem In(string file, RowPlace place) => new(file, place, null, Text) { Group = Group };
}
