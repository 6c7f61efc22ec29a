namespace GlmTune.Training.Sentinel;

/// <summary>What happens when the loss or gradient norm of a step is not finite, or far above those of the steps
/// before.</summary>
public enum BadStepPolicy
{
    /// <summary>The run ends; the step before is saved.</summary>
    Stop,

    /// <summary>The step is counted, but weights and optimizer state stay as they are.</summary>
    Skip,

    /// <summary>The run goes back to its newest checkpoint, and leaves out the rows of the step from then on.</summary>
    Rewind,
}
