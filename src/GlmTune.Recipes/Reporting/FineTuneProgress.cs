using GlmTune.Evaluation;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Progress of a run.</summary>
/// <param name="Steps">Number of finished steps, including those before a resume.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
public readonly record struct FineTuneProgress(long Steps, long TotalSteps)
{
    /// <summary>The last step of this run; null before the first.</summary>
    public StepReport? LastStep { get; init; }

    /// <summary>The evaluation that is running; null if none is.</summary>
    public EvaluationProgress? Evaluation { get; init; }

    /// <summary>Finished steps as a share of all steps, from 0 to 1.</summary>
    public double Fraction => TotalSteps == 0 ? 1 : (double)Steps / TotalSteps;
}
