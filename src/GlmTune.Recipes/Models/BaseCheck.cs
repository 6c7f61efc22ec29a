using GlmTune.Checkpoints;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Weights;

namespace GlmTune.Recipes.Models;

/// <summary>Whether an adapter is used on the base model that it was trained on.</summary>
internal static class BaseCheck
{
    /// <summary>The fingerprint of the base that an adapter folder records; null if it records none or has no readable
    /// weights.</summary>
    public static ModelFingerprint? Recorded(string adapter)
    {
        try
        {
            return File.Exists(Path.Combine(adapter, WeightFiles.AdapterFile))
                ? ModelFingerprint.OfBase(adapter)
                : null;
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return null; // loading it says what is wrong
        }
    }

    /// <summary>How the base was stored on which a checkpoint's adapter was trained, such as nf4; null: in the type of
    /// the computation, or not recorded.</summary>
    public static string? RecordedQuantization(string adapter)
    {
        var settings = TrainingState.Read(adapter)?.Settings;
        return settings?.GetValueOrDefault("quantization") is { } stored and not "none" ? stored
            : settings?.GetValueOrDefault("fp8_base") == "true" ? QuantizationNames.NameOf(FrozenType.Fp8)
            : null;
    }

    /// <summary>Whether an adapter records that it was trained on other weights than a model's.</summary>
    /// <param name="adapter">The adapter folder.</param>
    /// <param name="model">The model folder that it would be used with.</param>
    public static bool IsOfOtherWeights(string adapter, string model) =>
        Recorded(adapter) is { } recorded && recorded.Weights != ModelFingerprint.Of(model).Weights;

    /// <summary>Describes how a model differs from the base that an adapter was trained on.</summary>
    /// <param name="adapter">The adapter folder.</param>
    /// <param name="model">The model folder that it is used with.</param>
    /// <returns>A note for the user; null if they agree or the adapter does not record its base.</returns>
    public static string? FindDifference(string adapter, string model)
    {
        if (Recorded(adapter) is not { } recorded)
        {
            return null;
        }

        var now = ModelFingerprint.Of(model);
        return recorded.Weights != now.Weights
                ? $"{adapter}: was trained on another base model than {model}: the shapes are the same, but the "
                    + "weights differ, so its answers may be worse. Pass its own base with --base."
            : recorded.Config != now.Config
                ? $"{adapter}: {model}/{ModelConfig.FileName} has changed since this adapter was trained"
            : null;
    }
}
