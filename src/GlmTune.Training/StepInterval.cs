namespace GlmTune.Training;

/// <summary>Every how many steps something happens: a count, or a share of the whole run.</summary>
/// <param name="Value">A whole number of steps from 1 on, or a share above 0 and below 1.</param>
public readonly record struct StepInterval(double Value)
{
    /// <summary>An interval of <paramref name="steps"/> steps.</summary>
    public static implicit operator StepInterval(int steps) => FromInt32(steps);

    /// <summary>An interval of <paramref name="steps"/> steps.</summary>
    public static StepInterval FromInt32(int steps) => new(steps);

    /// <summary>The interval in steps of a run of <paramref name="totalSteps"/>; a share is rounded up. At least
    /// 1.</summary>
    public int Of(int totalSteps) => Math.Max(1, Value < 1 ? (int)Math.Ceiling(totalSteps * Value) : (int)Value);
}
