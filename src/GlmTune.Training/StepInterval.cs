namespace GlmTune.Training;

/// <summary>How often something happens: every number of steps, or a fraction of the whole run.</summary>
/// <param name="Value">An integer number of steps, at least 1; or a fraction between 0 and 1.</param>
public readonly record struct StepInterval(double Value)
{
    /// <summary>An interval of <paramref name="steps"/> steps.</summary>
    public static implicit operator StepInterval(int steps) => FromInt32(steps);

    /// <summary>An interval of <paramref name="steps"/> steps.</summary>
    public static StepInterval FromInt32(int steps) => new(steps);

    /// <summary>The interval in steps for a run of <paramref name="totalSteps"/>; a fraction is rounded up. At least
    /// 1.</summary>
    public int Of(int totalSteps) => Math.Max(1, Value < 1 ? (int)Math.Ceiling(totalSteps * Value) : (int)Value);
}
