namespace GlmTune.Recipes.Configuration;

/// <summary>The allowed range of a number.</summary>
internal sealed record Bounds(double Min, double Max, bool IncludesMin = true, bool IncludesMax = true)
{
    public static readonly Bounds Positive = new(0, double.PositiveInfinity, IncludesMin: false);
    public static readonly Bounds NotNegative = new(0, double.PositiveInfinity);
    public static readonly Bounds Share = new(0, 1);
    public static readonly Bounds ShareBelowOne = new(0, 1, IncludesMax: false);
    public static readonly Bounds ShareAboveZero = new(0, 1, IncludesMin: false);

    public bool Contains(double value) =>
        (IncludesMin ? value >= Min : value > Min) && (IncludesMax ? value <= Max : value < Max);

    /// <summary>The range as a phrase that follows "a number".</summary>
    public override string ToString() =>
        (IncludesMin, IncludesMax) switch
        {
            (true, _) when double.IsPositiveInfinity(Max) => $"of at least {Scalars.Write(Min)}",
            (false, _) when double.IsPositiveInfinity(Max) => $"above {Scalars.Write(Min)}",
            (true, true) => $"from {Scalars.Write(Min)} to {Scalars.Write(Max)}",
            (true, false) => $"from {Scalars.Write(Min)} to below {Scalars.Write(Max)}",
            (false, true) => $"above {Scalars.Write(Min)} and at most {Scalars.Write(Max)}",
            (false, false) => $"between {Scalars.Write(Min)} and {Scalars.Write(Max)}, both excluded",
        };
}
