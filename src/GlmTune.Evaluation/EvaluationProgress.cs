namespace GlmTune.Evaluation;

/// <summary>What an evaluation is doing.</summary>
public enum EvaluationPart
{
    /// <summary>The loss of rows.</summary>
    Loss,

    /// <summary>Generating answers.</summary>
    Answers,
}

/// <summary>How far an evaluation is.</summary>
/// <param name="Part">What it is doing.</param>
/// <param name="Done">Rows, or answers, that are done.</param>
/// <param name="Total">Rows, or answers, of this part.</param>
public readonly record struct EvaluationProgress(EvaluationPart Part, int Done, int Total);
