using System.Collections.Concurrent;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Fused kernels for one NVIDIA GPU: each tensor is read and written once, with float32 arithmetic.</summary>
/// <remarks>Kernels are compiled from the embedded sources on first use (about 0.2 s each) and cached in the user's
/// cache folder. Types bfloat16, float16 and float32; unsupported inputs (float64, rows that are not a multiple of 16
/// bytes, strided tensors) are passed to <see cref="PlainKernels"/>. Nothing waits for the GPU. Thread-safe.</remarks>
internal sealed class CudaKernels : LayerKernels
{
    // One object per GPU, which holds the compiled kernels.
    private static readonly ConcurrentDictionary<int, Lazy<(int Capability, CudaKernels Kernels)>> Instances = new();

    private readonly PlainKernels plain = new();
    private readonly KernelFallbacks fallbacks = new();
    private readonly NormKernels norm;
    private readonly RotaryKernels rotary;
    private readonly TrainingAttention attention;
    private readonly ActivationKernels activation;
    private readonly StepKernels step;
    private readonly EmbeddingKernels embedding;
    private readonly LowRankKernels lowRank;
    private readonly MixedLowRankKernels mixed;
    private readonly DecodeKernels decode;
    private readonly SamplingKernels sampling;
    private readonly Fp8Kernels fp8;
    private readonly CompactKernels compact;
    private readonly FrozenKernels frozen;

    internal CudaKernels(IKernelLauncher launcher, string description, bool multipliesFp8 = false)
    {
        Description = description;
        norm = new NormKernels(launcher, plain, fallbacks);
        rotary = new RotaryKernels(launcher, plain, fallbacks);
        attention = new TrainingAttention(launcher, plain, fallbacks);
        activation = new ActivationKernels(launcher, plain, fallbacks);
        step = new StepKernels(launcher, plain, fallbacks);
        embedding = new EmbeddingKernels(launcher, plain, fallbacks);
        lowRank = new LowRankKernels(launcher, fallbacks);
        mixed = new MixedLowRankKernels(launcher, fallbacks);
        decode = new DecodeKernels(launcher, plain, fallbacks);
        sampling = new SamplingKernels(launcher, plain, fallbacks);
        fp8 = new Fp8Kernels(launcher, multipliesFp8, fallbacks);
        compact = new CompactKernels(launcher, fallbacks);
        frozen = new FrozenKernels(launcher, fallbacks);
    }

    /// <inheritdoc/>
    public override string Description { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Fallbacks => fallbacks.Reasons;

    /// <summary>The kernels for <paramref name="device"/>, the same object each time; or null, with the
    /// reason.</summary>
    public static CudaKernels? TryCreate(Device device, out string reason)
    {
        var runtime = NativeRuntime.Load();
        reason = string.Join("; ", [$"the libtorch in {runtime.Folder} has no CUDA support", .. runtime.PassedOver]);
        if (device.type != DeviceType.CUDA || !runtime.Cuda)
        {
            return null;
        }

        var compiler = Nvrtc.TryLoad(out var looked);
        if (compiler is null)
        {
            reason =
                $"NVIDIA's run-time compiler (libnvrtc) was not found in {looked}; set CUDA_HOME to a CUDA toolkit, or "
                + "install PyTorch";
            return null;
        }

        var kernels = Instances
            .GetOrAdd(
                Math.Max(0, device.index),
                index =>
                    new(() =>
                    {
                        var launcher = new CudaLauncher(index, compiler);
                        return (
                            launcher.Capability,
                            new CudaKernels(
                                launcher,
                                $"fused kernels on {launcher.DeviceName} (sm_{launcher.Capability}), compiled by NVRTC "
                                    + $"{compiler.Version} ({compiler.Path})",
                                multipliesFp8: launcher.Capability >= 89
                            )
                        );
                    })
            )
            .Value;
        reason =
            $"the GPU has compute capability {kernels.Capability / 10}.{kernels.Capability % 10}; the kernels need 8.0 "
            + "or higher";
        return kernels.Capability < 80 ? null : kernels.Kernels;
    }

    /// <inheritdoc/>
    public override bool CanCapture(ScalarType type, HeadLayout heads) => TrainingAttention.Takes(type, heads);

    /// <inheritdoc/>
    public override bool CanCaptureDecoding(ScalarType type, HeadLayout heads, params ReadOnlySpan<int> widths) =>
        DecodeKernels.TakesAll(type, heads, widths);

    /// <inheritdoc/>
    public override (Tensor Output, Tensor InverseRms) RmsNorm(Tensor x, Tensor weight, double epsilon) =>
        norm.RmsNorm(x, weight, epsilon);

    /// <inheritdoc/>
    public override (Tensor Sum, Tensor Output, Tensor InverseRms) AddRmsNorm(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon
    ) => norm.AddRmsNorm(x, delta, weight, epsilon);

    /// <inheritdoc/>
    public override Tensor RmsNormBackward(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor? residualGradient,
        Tensor? weightGradient
    ) => norm.RmsNormBackward(gradient, x, weight, inverseRms, residualGradient, weightGradient);

    /// <inheritdoc/>
    public override void Rotate(Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads, bool inverse = false) =>
        rotary.Rotate(fused, cosine, sine, heads, inverse);

    /// <inheritdoc/>
    public override void RotateAndCache(
        Tensor fused,
        Tensor cosine,
        Tensor sine,
        HeadLayout heads,
        CachedBlocks cache,
        Tensor slots,
        Tensor positions
    ) => rotary.RotateAndCache(fused, cosine, sine, heads, cache, slots, positions);

    /// <inheritdoc/>
    public override Tensor Attention(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefix,
        Tape? tape
    ) => attention.Forward(fused, heads, sequences, prefix, tape);

    /// <inheritdoc/>
    public override Tensor AttentionBackward(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefixGradient,
        Tape tape
    ) => attention.Backward(gradient, heads, sequences, prefixGradient, tape);

    /// <inheritdoc/>
    public override Tensor CachedAttention(
        Tensor fused,
        HeadLayout heads,
        CachedBlocks cache,
        CachedSequences sequences
    )
    {
        if (sequences.Several is null)
        {
            return decode.Attention(fused, heads, cache, sequences);
        }

        if (sequences.Singles == 0)
        {
            return attention.Prefill(fused, heads, cache, sequences);
        }

        using var scope = NewDisposeScope();
        return cat([
                decode.Attention(fused, heads, cache, sequences),
                attention.Prefill(fused, heads, cache, sequences),
            ])
            .MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor SwiGlu(Tensor gateUp) => activation.SwiGlu(gateUp);

    /// <inheritdoc/>
    public override Tensor SwiGluBackward(Tensor gradient, Tensor gateUp) =>
        activation.SwiGluBackward(gradient, gateUp);

    /// <inheritdoc/>
    public override Tensor Dropout(Tensor x, double probability, MaskSeed seed) =>
        activation.Dropout(x, probability, seed);

    /// <inheritdoc/>
    public override Tensor CrossEntropy(Tensor logits, Tensor targets, LossScale scale) =>
        step.CrossEntropy(logits, targets, scale);

    /// <inheritdoc/>
    public override void AdamW(
        Tensor master,
        Tensor gradient,
        Tensor firstMoment,
        Tensor secondMoment,
        Tensor gradientScale,
        in AdamWStep settings,
        Tensor? compute = null
    ) => step.AdamW(master, gradient, firstMoment, secondMoment, gradientScale, settings, compute);

    /// <inheritdoc/>
    public override void CompactAdamW(
        Tensor weights,
        Tensor gradient,
        Moments moments,
        Tensor gradientScale,
        in AdamWStep settings,
        in Rounding rounding
    )
    {
        if (!compact.TryAdamW(weights, gradient, moments, gradientScale, settings, rounding))
        {
            base.CompactAdamW(weights, gradient, moments, gradientScale, settings, rounding);
        }
    }

    /// <inheritdoc/>
    public override void Accumulate(Tensor sum, Tensor addend, in Rounding rounding)
    {
        if (!compact.TryAccumulate(sum, addend, rounding))
        {
            base.Accumulate(sum, addend, rounding);
        }
    }

    /// <inheritdoc/>
    public override Tensor TokenRows(Tensor table, Tensor ids) =>
        embedding.TokenRows(table, ids) ?? base.TokenRows(table, ids);

    /// <inheritdoc/>
    public override void AddEmbeddingGradient(Tensor gradient, Tensor ids, Tensor target) =>
        embedding.AddEmbeddingGradient(gradient, ids, target);

    /// <inheritdoc/>
    public override (Tensor Hidden, Tensor Cosine, Tensor Sine) Embed(
        Tensor ids,
        Tensor positions,
        Tensor table,
        Tensor cosines,
        Tensor sines
    ) => embedding.Embed(ids, positions, table, cosines, sines);

    /// <inheritdoc/>
    public override Tensor SelectRows(Tensor table, Tensor index) => embedding.SelectRows(table, index);

    /// <inheritdoc/>
    public override Tensor LowRankDown(Tensor x, Tensor a, double probability, MaskSeed seed) =>
        lowRank.Down(x, a, probability, seed) ?? base.LowRankDown(x, a, probability, seed);

    /// <inheritdoc/>
    public override void LowRankDownBackward(
        Tensor gradient,
        Tensor x,
        Tensor a,
        double probability,
        MaskSeed seed,
        Tensor? inputGradient,
        Tensor? weightGradient
    )
    {
        if (!lowRank.DownBackward(gradient, x, a, probability, seed, inputGradient, weightGradient))
        {
            base.LowRankDownBackward(gradient, x, a, probability, seed, inputGradient, weightGradient);
        }
    }

    /// <inheritdoc/>
    public override Tensor MixedLowRank(
        Tensor x,
        MixedRows rows,
        MixedLowRank adapters,
        long outputs,
        Tensor? added = null
    ) =>
        mixed.MixedLowRank(x, rows, adapters, outputs, added)
        ?? base.MixedLowRank(x, rows, adapters, outputs, added);

    /// <inheritdoc/>
    public override void AddProduct(Tensor y, Tensor x, Tensor weight)
    {
        if (!decode.AddProduct(y, x, weight))
        {
            base.AddProduct(y, x, weight);
        }
    }

    /// <inheritdoc/>
    public override Tensor Project(Tensor x, Tensor weight, Tensor? bias = null, Tensor? residual = null) =>
        decode.Project(x, weight, bias, residual);

    /// <inheritdoc/>
    public override Tensor ProjectSwiGlu(Tensor x, Tensor weight) => decode.ProjectSwiGlu(this, x, weight);

    /// <inheritdoc/>
    public override Tensor ArgMax(Tensor logits, int count) => decode.ArgMax(logits, count);

    /// <inheritdoc/>
    public override Tensor Sample(Tensor logits, SamplingTable table, int count, Tensor drawn, Tensor ids) =>
        sampling.Sample(logits, table, count, drawn, ids);

    /// <inheritdoc/>
    public override Fp8Rows QuantizeRows(Tensor x) => fp8.QuantizeRows(x) ?? base.QuantizeRows(x);

    /// <inheritdoc/>
    public override (Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) RmsNormFp8(
        Tensor x,
        Tensor weight,
        double epsilon,
        bool keepOutput
    ) => fp8.RmsNormFp8(x, weight, epsilon, keepOutput) ?? base.RmsNormFp8(x, weight, epsilon, keepOutput);

    /// <inheritdoc/>
    public override (Tensor Sum, Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) AddRmsNormFp8(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon,
        bool keepOutput
    ) =>
        fp8.AddRmsNormFp8(x, delta, weight, epsilon, keepOutput)
        ?? base.AddRmsNormFp8(x, delta, weight, epsilon, keepOutput);

    /// <inheritdoc/>
    public override (Tensor Result, Fp8Rows Quantized) RmsNormBackwardFp8(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor residualGradient
    ) =>
        fp8.RmsNormBackwardFp8(gradient, x, weight, inverseRms, residualGradient)
        ?? base.RmsNormBackwardFp8(gradient, x, weight, inverseRms, residualGradient);

    /// <inheritdoc/>
    public override Fp8Rows SwiGluFp8(Tensor gateUp) => fp8.SwiGluFp8(gateUp) ?? base.SwiGluFp8(gateUp);

    /// <inheritdoc/>
    public override Fp8Rows SwiGluBackwardFp8(Tensor gradient, Tensor gateUp) =>
        fp8.SwiGluBackwardFp8(gradient, gateUp) ?? base.SwiGluBackwardFp8(gradient, gateUp);

    /// <inheritdoc/>
    public override Tensor Fp8Product(Fp8Rows x, Fp8Matrix weight, Tensor? bias, ScalarType type) =>
        fp8.Fp8Product(x, weight, bias, type) ?? base.Fp8Product(x, weight, bias, type);

    /// <inheritdoc/>
    public override Tensor Fp8ProductBackward(Fp8Rows gradient, Fp8Matrix weight, ScalarType type) =>
        fp8.Fp8ProductBackward(gradient, weight, type) ?? base.Fp8ProductBackward(gradient, weight, type);

    /// <inheritdoc/>
    public override void Dequantize(FrozenMatrix weight, Tensor target)
    {
        if (weight is StackedMatrix stacked)
        {
            foreach (var (part, first) in stacked.WithFirstRows())
            {
                using var rows = target.narrow(0, first, part.Rows);
                Dequantize(part, rows);
            }
        }
        else if (!frozen.Dequantize(weight, target))
        {
            base.Dequantize(weight, target);
        }
    }

    /// <inheritdoc/>
    public override Tensor Project(Tensor x, FrozenMatrix weight, Func<Tensor> dense, Tensor? bias = null) =>
        (weight is StackedMatrix stacked ? ProjectParts(x, stacked, bias) : frozen.Project(x, weight, bias))
        ?? base.Project(x, weight, dense, bias);

    // Null: a part has no kernel.
    private Tensor? ProjectParts(Tensor x, StackedMatrix weight, Tensor? bias)
    {
        using var scope = NewDisposeScope();
        List<Tensor> outputs = [];
        foreach (var (part, first) in weight.WithFirstRows())
        {
            if (frozen.Project(x, part, bias?.narrow(0, first, part.Rows)) is not { } output)
            {
                return null;
            }

            outputs.Add(output);
        }

        return cat(outputs, 1).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor ProjectSwiGlu(Tensor x, FrozenMatrix weight, Func<Tensor> dense) =>
        frozen.ProjectSwiGlu(x, weight) ?? base.ProjectSwiGlu(x, weight, dense);
}
