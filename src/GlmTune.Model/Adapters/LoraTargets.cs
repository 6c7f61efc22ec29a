using System.Text.RegularExpressions;

namespace GlmTune.Model.Adapters;

/// <summary>The modules that a low-rank adapter adapts: a list of names, a regular expression, or all linear
/// layers.</summary>
/// <remarks>Immutable. Exactly one of <see cref="Names"/>, <see cref="Pattern"/> and <see cref="IsAllLinear"/> is
/// set.</remarks>
public sealed class LoraTargets
{
    private LoraTargets(IReadOnlyList<string>? names, string? pattern) => (Names, Pattern) = (names, pattern);

    /// <summary>All linear layers except the output head (<c>all-linear</c>).</summary>
    public static LoraTargets AllLinear { get; } = new(null, null);

    /// <summary>Names; a module matches if its name equals one of them, or ends with a dot followed by one. Null: not a
    /// list.</summary>
    public IReadOnlyList<string>? Names { get; }

    /// <summary>A regular expression that must match a module's full name. Null: not an expression.</summary>
    public string? Pattern { get; }

    /// <summary>Whether all linear layers except the output head are meant.</summary>
    public bool IsAllLinear => Names is null && Pattern is null;

    /// <summary>Modules by full name or end of name.</summary>
    /// <exception cref="ArgumentException">No name is given, or a name is empty.</exception>
    public static LoraTargets FromNames(params IReadOnlyList<string> names)
    {
        if (names.Count == 0 || names.Any(string.IsNullOrWhiteSpace))
        {
            throw new ArgumentException("target modules need at least one name, and no empty names", nameof(names));
        }

        return new LoraTargets([.. names], null);
    }

    /// <summary>Modules whose full name matches a regular expression.</summary>
    /// <exception cref="ArgumentException">The expression is empty or invalid.</exception>
    public static LoraTargets FromPattern(string pattern)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(pattern);
        _ = new Regex(pattern, RegexOptions.CultureInvariant);
        return new LoraTargets(null, pattern);
    }

    /// <summary>A string in PEFT's format: <c>all-linear</c> or a regular expression.</summary>
    /// <exception cref="ArgumentException">The string is empty or not a valid regular expression.</exception>
    public static LoraTargets FromText(string text) => text == "all-linear" ? AllLinear : FromPattern(text);

    /// <summary>The notation in a configuration: the names separated by commas, the expression, or
    /// <c>all-linear</c>.</summary>
    public override string ToString() => Names is null ? Pattern ?? "all-linear" : string.Join(", ", Names);
}
