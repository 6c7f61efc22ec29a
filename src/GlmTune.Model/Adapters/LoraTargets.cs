using System.Text.RegularExpressions;

namespace GlmTune.Model.Adapters;

/// <summary>Which modules a low-rank adapter touches: a list of names, a regular expression, or every linear
/// layer.</summary>
/// <remarks>Immutable. Exactly one of <see cref="Names"/>, <see cref="Pattern"/> and <see cref="IsAllLinear"/> is
/// set.</remarks>
public sealed class LoraTargets
{
    private LoraTargets(IReadOnlyList<string>? names, string? pattern) => (Names, Pattern) = (names, pattern);

    /// <summary>Every linear layer but the output head (<c>all-linear</c>).</summary>
    public static LoraTargets AllLinear { get; } = new(null, null);

    /// <summary>Names; a module is meant when its name equals one, or ends with a dot and one. Null: not a
    /// list.</summary>
    public IReadOnlyList<string>? Names { get; }

    /// <summary>A regular expression that must match a module's whole name. Null: not an expression.</summary>
    public string? Pattern { get; }

    /// <summary>Whether every linear layer but the output head is meant.</summary>
    public bool IsAllLinear => Names is null && Pattern is null;

    /// <summary>Modules by name or end of name.</summary>
    /// <exception cref="ArgumentException">There is no name, or an empty one.</exception>
    public static LoraTargets FromNames(params IReadOnlyList<string> names)
    {
        if (names.Count == 0 || names.Any(string.IsNullOrWhiteSpace))
        {
            throw new ArgumentException("target modules need at least one name, and no empty names", nameof(names));
        }

        return new LoraTargets([.. names], null);
    }

    /// <summary>Modules whose whole name a regular expression matches.</summary>
    /// <exception cref="ArgumentException">It is empty or not a regular expression.</exception>
    public static LoraTargets FromPattern(string pattern)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(pattern);
        _ = new Regex(pattern, RegexOptions.CultureInvariant);
        return new LoraTargets(null, pattern);
    }

    /// <summary>What PEFT reads: a string as <c>all-linear</c> or a regular expression.</summary>
    /// <exception cref="ArgumentException">It is empty or not a regular expression.</exception>
    public static LoraTargets FromText(string text) => text == "all-linear" ? AllLinear : FromPattern(text);

    /// <summary>As it is written in a configuration: the names with commas, the expression, or
    /// <c>all-linear</c>.</summary>
    public override string ToString() => Names is null ? Pattern ?? "all-linear" : string.Join(", ", Names);
}
