using GlmTune.Kernels;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Testing;

/// <summary>Adapters whose every parameter has a value that shows in the logits.</summary>
public static class SampleAdapters
{
    /// <summary>Attaches one to a model.</summary>
    /// <param name="kind"><c>lora</c>, <c>dora</c>, <c>modules</c>, <c>prefix</c> or <c>projection</c>.</param>
    /// <param name="model">Gets it.</param>
    /// <param name="dropout">Of a low-rank one.</param>
    internal static IAdapter Attach(string kind, DecoderModel model, double dropout = 0)
    {
        if (kind is "prefix" or "projection")
        {
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions
                {
                    VirtualTokens = 6,
                    Projection = kind == "projection",
                    EncoderHiddenSize = 24,
                    Initialization = PrefixInitialization.Normal,
                }
            );
            prefix.Initialize(2);
            return prefix;
        }

        var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = 3,
                Dropout = dropout,
                TargetModules = LoraTargets.FromNames("q_proj", "v_proj", "down_proj"),
                AlphaPattern = [KeyValuePair.Create("v_proj", 3.0)],
                UseDora = kind == "dora",
                ModulesToSave = kind == "modules" ? ["embed_tokens", "lm_head", "model.norm"] : [],
                InitWeights = LoraInitialization.Random,
            }
        );
        lora.Initialize(2);
        using var scope = NewDisposeScope();
        foreach (
            var parameter in lora.Parameters.Where(parameter =>
                parameter.Name.Contains("magnitude", StringComparison.Ordinal)
                || parameter.Name.StartsWith("transformer.", StringComparison.Ordinal)
            )
        )
        {
            parameter.Value.mul_(SeededRandom.Uniform(parameter, 9, 0.3).Add(1));
        }

        return lora;
    }
}
