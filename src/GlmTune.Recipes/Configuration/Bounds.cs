namespace GlmTune.Recipes.Configuration;

/// <summary>The allowed range of a number.</summary>
internal sealed record Bounds(double Least, double Most, bool WithLeast = true, bool WithMost = true)
{
    public static readonly Bounds Positive = new(0, double.PositiveInfinity, WithLeast: false);
    public static readonly Bounds NotNegative = new(0, double.PositiveInfinity);
    public static readonly Bounds Share = new(0, 1);
    public static readonly Bounds ShareBelowOne = new(0, 1, WithMost: false);
    public static readonly Bounds ShareAboveZero = new(0, 1, WithLeast: false);

    public bool Contains(double value) =>
        (WithLeast ? value >= Least : value > Least) && (WithMost ? value <= Most : value < Most);

    /// <summary>The range as a phrase that follows "a number".</summary>
    public override string ToString() =>
        (WithLeast, WithMost) switch
        {
            (true, _) when double.IsPositiveInfinity(Most) => $"of at least {Scalars.Write(Least)}",
            (false, _) when double.IsPositiveInfinity(Most) => $"above {Scalars.Write(Least)}",
            (true, true) => $"from {Scalars.Write(Least)} to {Scalars.Write(Most)}",
            (true, false) => $"from {Scalars.Write(Least)} to below {Scalars.Write(Most)}",
            (false, true) => $"above {Scalars.Write(Least)} and at most {Scalars.Write(Most)}",
            (false, false) => $"between {Scalars.Write(Least)} and {Scalars.Write(Most)}, both excluded",
        };
}
