namespace GlmTune.Evaluation;

/// <summary>The phases of an evaluation.</summary>
public enum EvaluationPart
{
    /// <summary>Computing the loss.</summary>
    Loss,

    /// <summary>Generating answers.</summary>
    Answers,
}

/// <summary>The progress of an evaluation.</summary>
/// <param name="Part">The current phase.</param>
/// <param name="Done">Rows or answers finished in this phase.</param>
/// <param name="Total">Rows or answers in this phase.</param>
public readonly record struct EvaluationProgress(EvaluationPart Part, int Done, int Total);
