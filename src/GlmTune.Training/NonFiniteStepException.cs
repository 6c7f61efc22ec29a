namespace GlmTune.Training;

/// <summary>The loss or gradient norm of a step is not finite. The update was not applied, unless layers are updated
/// behind the backward pass.</summary>
public sealed class NonFiniteStepException : Exception
{
    /// <param name="step">Number of the step, from 1.</param>
    /// <param name="what">Which of the two it is.</param>
    /// <param name="value">Its value.</param>
    /// <param name="lines">Lines in the training file of this rank's rows in the step.</param>
    /// <param name="last">The last finite step; null if there was none.</param>
    /// <param name="where">The parameter at which the gradient stopped being finite in the backward pass; null if the
    /// loss is not finite, or another rank has that parameter.</param>
    /// <param name="changed">Whether layers were already updated.</param>
    public NonFiniteStepException(
        long step,
        string what,
        double value,
        IReadOnlyList<int> lines,
        StepReport? last,
        string? where = null,
        bool changed = false
    )
        : base(
            $"Step {step}: the {what} is {value}. "
                + (changed ? "Some layers were already updated, so nothing is saved." : "No weight was changed.")
                + " Rows in the step: lines "
                + $"{string.Join(", ", lines.Take(32))}"
                + (lines.Count > 32 ? ", …" : "")
                + "."
                + (where is null ? "" : $" In the backward pass it began at {where}.")
                + (
                    last is null
                        ? " There was no step before it."
                        : $" Last finite step: {last.Step}, loss {last.Loss:F4}, gradient norm {last.GradientNorm:F4}."
                )
                + " A lower learning rate, or float32 or bfloat16 weights, usually help."
        ) => Step = step;

    /// <summary>Number of the step, from 1.</summary>
    public long Step { get; }
}
