using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Why a row that can be read cannot be used.</summary>
/// <param name="Text">For one row.</param>
/// <param name="Group">For many rows.</param>
internal sealed record RowProblem(string Text, ProblemGroup? Group = null)
{
    public DataProblem In(string file, RowPlace place) => new(file, place, null, Text) { Group = Group };
}
