namespace GlmTune.Collectives;

/// <summary>Where in the run a collective is called; shown in the message if the call does not finish in
/// time.</summary>
/// <param name="Step">The current optimizer step, from 1; null outside of training.</param>
/// <param name="Layer">The layer's number or name, such as <c>17</c> or <c>output head</c>, or another place; null if
/// there is none.</param>
/// <remarks>All ranks must use the same label for the same call; thread and MPI ranks compare them.</remarks>
internal readonly record struct CallLabel(long? Step = null, string? Layer = null)
{
    /// <summary>The label of a numbered layer.</summary>
    public CallLabel(long? step, int layer)
        : this(step, layer.ToString(System.Globalization.CultureInfo.InvariantCulture)) { }

    /// <summary>The label as text: <c>step 1204, layer 17</c>, <c>step 1204, output head</c>, or the part that is
    /// set.</summary>
    public override string ToString() =>
        string.Join(
            ", ",
            new[]
            {
                Step is { } step ? $"step {step}" : null,
                Layer is { } layer && layer.Length > 0 && char.IsAsciiDigit(layer[0]) ? $"layer {layer}" : Layer,
            }.OfType<string>()
        );
}
