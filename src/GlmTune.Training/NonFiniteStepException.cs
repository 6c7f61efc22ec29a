namespace GlmTune.Training;

/// <summary>A step's loss or gradient norm is not a number; the update did not happen.</summary>
public sealed class NonFiniteStepException : Exception
{
    /// <param name="step">Number of the step, from 1.</param>
    /// <param name="what">Which number is wrong.</param>
    /// <param name="value">Its value.</param>
    /// <param name="lines">Lines of the training file whose rows were in the step, on this rank.</param>
    /// <param name="last">The last good step, or null.</param>
    public NonFiniteStepException(long step, string what, double value, IReadOnlyList<int> lines, StepReport? last)
        : base(
            $"Step {step}: the {what} is {value}. No weight was changed. Rows in the step: lines "
                + $"{string.Join(", ", lines.Take(32))}"
                + (lines.Count > 32 ? ", …" : "")
                + "."
                + (
                    last is null
                        ? " There was no step before it."
                        : $" Last finite step: {last.Step}, loss {last.Loss:F4}, gradient norm {last.GradientNorm:F4}."
                )
                + "A lower learning rate, or float32 or bfloat16 weights, usually help."
        ) => Step = step;

    /// <summary>Number of the step, from 1.</summary>
    public long Step { get; }
}
