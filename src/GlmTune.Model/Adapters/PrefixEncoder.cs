using GlmTune.Kernels;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Computes the prefixes of all layers from a small embedding: embedding → linear → tanh → linear
/// (<c>prefix_projection</c>).</summary>
/// <remarks>A unit of the model before the token embedding. <see cref="Project"/> computes the prefixes before they are
/// used; <see cref="Backward"/> receives the gradients that the layers collected for them. In float32 or wider. Source:
/// Li and Liang, Prefix-Tuning, arXiv:2101.00190, section 4.3.</remarks>
internal sealed class PrefixEncoder : Layer
{
    private readonly IReadOnlyList<Parameter> prefixes;
    private readonly Parameter embedding;
    private readonly Parameter innerWeight;
    private readonly Parameter innerBias;
    private readonly Parameter outerWeight;
    private readonly Parameter outerBias;

    /// <param name="prefixes">Keys and values of each layer, [2, P, K, D], written by <see cref="Project"/>.</param>
    /// <param name="options">The sizes, none of them null.</param>
    public PrefixEncoder(IReadOnlyList<Parameter> prefixes, PrefixTuningOptions options)
    {
        this.prefixes = prefixes;
        var (token, hidden, made) = (
            options.TokenDim!.Value,
            options.EncoderHiddenSize!.Value,
            2L * prefixes.Count * options.TokenDim.Value
        );
        embedding = Make("embedding.weight", options.VirtualTokens, token);
        innerWeight = Make("transform.0.weight", hidden, token);
        innerBias = Make("transform.0.bias", hidden);
        outerWeight = Make("transform.2.weight", made, hidden);
        outerBias = Make("transform.2.bias", made);
    }

    /// <inheritdoc/>
    public override string Name => "prefix encoder";

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters => [embedding, innerWeight, innerBias, outerWeight, outerBias];

    /// <summary>Draws initial values like PyTorch's for such layers, and computes the prefixes.</summary>
    /// <param name="seed">Seed; together with a parameter's name it determines the numbers.</param>
    /// <param name="zero">Whether the prefixes are initially zero.</param>
    public void Initialize(long seed, bool zero)
    {
        using (NewDisposeScope())
        {
            embedding.Value.copy_(SeededRandom.Normal(embedding, seed, 1));
            foreach (var (weight, bias) in new[] { (innerWeight, innerBias), (outerWeight, outerBias) })
            {
                var bound = zero && weight == outerWeight ? 0 : 1 / Math.Sqrt(weight.Shape[1]);
                weight.Value.copy_(SeededRandom.Uniform(weight, seed, bound));
                bias.Value.copy_(SeededRandom.Uniform(bias, seed, bound));
            }
        }

        Project();
    }

    /// <summary>Computes the prefix of every layer.</summary>
    public void Project()
    {
        using var scope = NewDisposeScope();
        PrefixTuning.Split(Encode(), prefixes, (prefix, values) => prefix.Value.copy_(values));
    }

    /// <summary>All prefixes as PEFT stores them, [P, L·2·K·D], in the caller's dispose scope.</summary>
    /// <param name="values">Returns a parameter's values; null: its own values.</param>
    public Tensor Encode(Func<Parameter, Tensor>? values = null)
    {
        using var scope = NewDisposeScope();
        Tensor Of(Parameter parameter) => values?.Invoke(parameter) ?? parameter.Value;
        var hidden = addmm(Of(innerBias), Of(embedding), Of(innerWeight).t(), 1, 1).tanh();
        return addmm(Of(outerBias), hidden, Of(outerWeight).t(), 1, 1).MoveToOuterDisposeScope();
    }

    /// <summary>Converts the gradients collected for the prefixes into gradients of its parameters, and clears
    /// them.</summary>
    public void Backward()
    {
        using var scope = NewDisposeScope();
        if (prefixes.All(prefix => prefix.Gradient is null))
        {
            return;
        }

        var gradient = zeros(embedding.Shape[0], outerWeight.Shape[0], embedding.Type, embedding.Device);
        PrefixTuning.Split(
            gradient,
            prefixes,
            (prefix, part) =>
            {
                if (prefix.Gradient is { } collected)
                {
                    part.copy_(collected);
                    prefix.ClearGradient();
                }
            }
        );
        var hidden = addmm(innerBias.Value, embedding.Value, innerWeight.Value.t(), 1, 1).tanh();
        outerWeight.AddGradient(gradient.t().mm(hidden));
        outerBias.AddGradient(gradient.sum(dim: 0));
        var inner = gradient.mm(outerWeight.Value) * hidden.Square().neg().Add(1);
        innerWeight.AddGradient(inner.t().mm(embedding.Value));
        innerBias.AddGradient(inner.sum(dim: 0));
        embedding.AddGradient(inner.mm(innerWeight.Value));
    }

    private Parameter Make(string name, params long[] shape)
    {
        var (type, device) = (
            prefixes[0].Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32,
            prefixes[0].Device
        );
        return new Parameter($"prompt_encoder.{name}", shape, type, device, decays: shape.Length > 1)
        {
            Trainable = true,
            Value = zeros(shape, type, device),
        };
    }
}
