using GlmTune.Training.Sentinel;

namespace GlmTune.Training;

/// <summary>The loss or gradient norm of a step is not finite, or far above those of the steps before. The update was
/// not applied, unless layers are updated behind the backward pass.</summary>
public sealed class RejectedStepException : Exception
{
    /// <param name="trouble">What was found.</param>
    internal RejectedStepException(StepTrouble trouble)
        : this(trouble, trouble.ToString()) { }

    /// <param name="trouble">What was found.</param>
    /// <param name="message">What is said about it.</param>
    internal RejectedStepException(StepTrouble trouble, string message)
        : base(message) => Trouble = trouble;

    /// <summary>Number of the step, from 1.</summary>
    public long Step => Trouble.Report.Step;

    /// <summary>What was found.</summary>
    internal StepTrouble Trouble { get; }
}
