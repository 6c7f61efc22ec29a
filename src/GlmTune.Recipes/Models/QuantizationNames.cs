using GlmTune.Kernels.Definitions;
using GlmTune.Model;

namespace GlmTune.Recipes.Models;

/// <summary>How users name the ways in which frozen weights are stored.</summary>
internal static class QuantizationNames
{
    /// <summary>The names.</summary>
    public static IReadOnlyList<string> All { get; } = ["nf4", "int8", "fp8"];

    /// <summary>The type with a given name; null: none.</summary>
    /// <exception cref="ArgumentException">The name is not among <see cref="All"/>.</exception>
    public static FrozenType? Of(string? name) =>
        name switch
        {
            null => null,
            "nf4" => FrozenType.Nf4,
            "int8" => FrozenType.Int8,
            "fp8" => FrozenType.Fp8,
            _ => throw new ArgumentException(
                $"'{name}' is not a quantization; expected one of {string.Join(", ", All)}.",
                nameof(name)
            ),
        };

    /// <summary>The name of a type.</summary>
    public static string NameOf(FrozenType type) => type.ToString().ToLowerInvariant();

    /// <summary>The storage of a model that only answers.</summary>
    /// <exception cref="ArgumentException">The name is not among <see cref="All"/>.</exception>
    public static Quantization? ForAnswers(string? name) =>
        Of(name) is { } type ? new Quantization(type, Backward: false) : null;
}
