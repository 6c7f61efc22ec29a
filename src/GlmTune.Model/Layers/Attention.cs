using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Grouped-query self-attention with rotary positions: from normalized hidden states to the residual stream's
/// update.</summary>
/// <remarks>Source: Ainslie et al., GQA, arXiv:2305.13245; Liu et al., P-Tuning v2, arXiv:2110.07602, for the
/// prefix.</remarks>
internal sealed class Attention
{
    private readonly int layer;
    private Parameter? prefix;

    /// <param name="queryKeyValue">Fused projection [(H + 2K)·D, C], with bias.</param>
    /// <param name="output">Output projection [C, H·D], without bias.</param>
    /// <param name="heads">How the fused projection is divided into heads.</param>
    /// <param name="layer">Index of the decoder layer, which is also its index in the cache.</param>
    public Attention(Linear queryKeyValue, Linear output, HeadLayout heads, int layer) =>
        (QueryKeyValue, Output, Heads, this.layer) = (queryKeyValue, output, heads, layer);

    /// <summary>Fused projection to queries, keys and values.</summary>
    public Linear QueryKeyValue { get; }

    /// <summary>Output projection ("dense", "o_proj").</summary>
    public Linear Output { get; }

    /// <summary>How the fused projection is divided into heads.</summary>
    public HeadLayout Heads { get; }

    /// <summary>Keys and values of virtual tokens before every sequence, [2, P, K, D]; null: none.</summary>
    public Parameter? Prefix
    {
        get => prefix;
        set
        {
            prefix = value;
            QueryKeyValue.Weight.NoteChange();
        }
    }

    /// <summary>All parameters, except a computed prefix.</summary>
    public IEnumerable<Parameter> Parameters =>
        Prefix is null or { Computed: true }
            ? [.. QueryKeyValue.Parameters, .. Output.Parameters]
            : [.. QueryKeyValue.Parameters, .. Output.Parameters, Prefix];

    /// <summary>The update of the residual stream, [N, C].</summary>
    /// <param name="x">Normalized hidden states [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs; null: nothing is kept.</param>
    public Tensor Forward(LinearInput x, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var fused = QueryKeyValue.Forward(x, context, tape);
        if (context.Cache is { } cache)
        {
            return Output.Forward(AttendCached(fused, context, cache), context, tape).MoveToOuterDisposeScope();
        }

        context.Kernels.Rotate(fused, context.Cosine, context.Sine, Heads);
        var attended = context.Exchange is { } exchange
            ? AttendShared(fused, context, exchange, tape)
            : context.Kernels.Attention(fused, Heads, context.Sequences, Prefix?.Value, tape);
        return Output.Forward(attended, context, tape).MoveToOuterDisposeScope();
    }

    /// <summary>Gradient of the normalized hidden states [N, C]; null if not needed.</summary>
    /// <param name="gradient">Gradient of the result, [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">What the forward pass saved.</param>
    /// <param name="inputGradient">Whether it is needed.</param>
    public Tensor? Backward(LinearInput gradient, LayerContext context, Tape tape, bool inputGradient = true)
    {
        using var scope = NewDisposeScope();
        var attended = Output.Backward(gradient, context, tape)!;
        var prefixGradient = Prefix is { Trainable: true } or { Computed: true } ? Prefix.WideGradient() : null;
        var fused = context.Exchange is { } exchange
            ? SharedBackward(attended, context, exchange, prefixGradient, tape)
            : context.Kernels.AttentionBackward(attended, Heads, context.Sequences, prefixGradient, tape);
        context.Kernels.Rotate(fused, context.Cosine, context.Sine, Heads, inverse: true);
        return QueryKeyValue.Backward(fused, context, tape, inputGradient)?.MoveToOuterDisposeScope();
    }

    /// <summary><see cref="Forward"/> over a cache, not differentiated.</summary>
    /// <param name="x">Normalized hidden states [n, C].</param>
    /// <param name="context">The pass, with its cache; with <paramref name="rows"/> given, its adapters become
    /// theirs.</param>
    /// <param name="rows">The tokens that go on from here; null: all.</param>
    /// <returns>The update of the residual stream, [n or m, C].</returns>
    public Tensor Decode(Tensor x, LayerContext context, LastRows? rows = null)
    {
        using var scope = NewDisposeScope();
        var attended = AttendCached(QueryKeyValue.Decode(x, context), context, context.Cache!);
        if (rows is not null)
        {
            attended = attended.index_select(0, rows.Index);
            context.Adapters = rows.Adapters;
        }

        return Output.Decode(attended, context).MoveToOuterDisposeScope();
    }

    // The cache holds a prefix in its first positions, so nothing is put before the keys here.
    private Tensor AttendCached(Tensor fused, LayerContext context, CacheStep cache)
    {
        var blocks = cache.Cache.Layer(layer);
        context.Kernels.RotateAndCache(
            fused,
            context.Cosine,
            context.Sine,
            Heads,
            blocks,
            cache.TokenSlots,
            cache.Positions
        );
        // Without GPU kernels the cached keys would first be gathered, which is unnecessary for whole prompts.
        return cache.StartsEmpty && fused.device.type == TorchSharp.DeviceType.CPU
            ? context.Kernels.Attention(fused, Heads, context.Sequences, prefix: null, tape: null)
            : context.Kernels.CachedAttention(fused, Heads, blocks, cache.Sequences);
    }

    private Tensor AttendShared(Tensor fused, LayerContext context, AttentionExchange exchange, Tape? tape)
    {
        var own = Prefix is null ? null : exchange.OfPrefix(Prefix.Value).contiguous();
        return exchange.ToTokens(
            context.Kernels.Attention(exchange.ToHeads(fused), exchange.Heads, exchange.Sequences, own, tape)
        );
    }

    private static Tensor SharedBackward(
        Tensor gradient,
        LayerContext context,
        AttentionExchange exchange,
        Tensor? prefixGradient,
        Tape tape
    )
    {
        var part = prefixGradient is null ? null : zeros_like(exchange.OfPrefix(prefixGradient)).contiguous();
        var fused = context.Kernels.AttentionBackward(
            exchange.GradientToHeads(gradient),
            exchange.Heads,
            exchange.Sequences,
            part,
            tape
        );
        if (part is not null)
        {
            exchange.OfPrefix(prefixGradient!).AddInPlace(part);
        }

        return exchange.GradientToTokens(fused);
    }
}
