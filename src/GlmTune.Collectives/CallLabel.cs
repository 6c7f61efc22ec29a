namespace GlmTune.Collectives;

/// <summary>Where in the run a collective is called: it is named when the call is not finished in time.</summary>
/// <param name="Step">The update being computed, from 1; null outside of training.</param>
/// <param name="Layer">The layer's number or name, such as <c>17</c> or <c>output head</c>; null where there is
/// none.</param>
/// <remarks>All ranks give the same label to the same call; thread and MPI ranks compare them.</remarks>
public readonly record struct CallLabel(long? Step = null, string? Layer = null)
{
    /// <summary>The label of a numbered layer.</summary>
    public CallLabel(long? step, int layer)
        : this(step, layer.ToString(System.Globalization.CultureInfo.InvariantCulture)) { }

    /// <summary><c>step 1204, layer 17</c>, or what of it there is.</summary>
    public override string ToString() =>
        string.Join(
            ", ",
            new[]
            {
                Step is { } step ? $"step {step}" : null,
                Layer is { } layer ? $"layer {layer}" : null,
            }.OfType<string>()
        );
}
