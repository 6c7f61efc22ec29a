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
public sealed partial class CudaKernels : LayerKernels
{
    private const int Threads = 256;

    // rms_norm.cu keeps up to this many 16-byte pieces of a row in each of at most this many threads.
    private const int NormPieces = 4;
    private const int NormThreads = 512;

    // One object per GPU, which holds the compiled kernels.
    private static readonly ConcurrentDictionary<int, Lazy<(int Capability, CudaKernels Kernels)>> Instances = new();

    private readonly PlainKernels plain = new();
    private readonly IKernelLauncher launcher;
    private readonly TrainingAttention attention;
    private readonly DecodeKernels decode;

    internal CudaKernels(IKernelLauncher launcher, string description)
    {
        this.launcher = launcher;
        attention = new TrainingAttention(launcher, plain);
        decode = new DecodeKernels(launcher, plain);
        Description = description;
    }

    /// <inheritdoc/>
    public override string Description { get; }

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
                                    + $"{compiler.Version} ({compiler.Path})"
                            )
                            {
                                MultipliesFp8 = launcher.Capability >= 89,
                            }
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
    public override (Tensor Output, Tensor InverseRms) RmsNorm(Tensor x, Tensor weight, double epsilon)
    {
        if (!NormFits(x, weight))
        {
            return plain.RmsNorm(x, weight, epsilon);
        }

        var (output, inverse) = (
            KernelTensor.Like(x),
            KernelTensor.Empty(ScalarType.Float32, x.device, KernelTensor.Size(x, 0), 1)
        );
        LaunchNorm(x, null, weight, null, output, inverse, epsilon);
        return (output, inverse);
    }

    /// <inheritdoc/>
    public override (Tensor Sum, Tensor Output, Tensor InverseRms) AddRmsNorm(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon
    )
    {
        if (!NormFits(x, delta, weight))
        {
            return plain.AddRmsNorm(x, delta, weight, epsilon);
        }

        var (sum, output, inverse) = (
            KernelTensor.Like(x),
            KernelTensor.Like(x),
            KernelTensor.Empty(ScalarType.Float32, x.device, KernelTensor.Size(x, 0), 1)
        );
        LaunchNorm(x, delta, weight, sum, output, inverse, epsilon);
        return (sum, output, inverse);
    }

    /// <inheritdoc/>
    public override Tensor RmsNormBackward(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor? residualGradient,
        Tensor? weightGradient
    )
    {
        if (
            !NormFits(gradient, x, weight, residualGradient)
            || weightGradient?.dtype is not (null or ScalarType.Float32)
        )
        {
            return plain.RmsNormBackward(gradient, x, weight, inverseRms, residualGradient, weightGradient);
        }

        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        var result = KernelTensor.Like(x);
        // With a weight gradient, few blocks process many rows each, and write one partial sum each.
        var blocks = weightGradient is null ? rows : Math.Min(rows, 4 * launcher.Multiprocessors);
        var pieces = NormPiecesFor(x);
        if (weightGradient is null)
        {
            launcher.Launch(
                NormKernel("rms_norm_backward", x, pieces),
                new(blocks),
                NormBlock(x, pieces),
                gradient,
                x,
                weight,
                inverseRms,
                residualGradient,
                result,
                rows,
                width
            );
            return result;
        }

        using var partial = KernelTensor.Empty(ScalarType.Float32, x.device, blocks, width);
        launcher.Launch(
            NormKernel("rms_norm_backward_weight", x, pieces),
            new(blocks),
            NormBlock(x, pieces),
            gradient,
            x,
            weight,
            inverseRms,
            residualGradient,
            result,
            partial,
            rows,
            width
        );
        AddColumns(partial, weightGradient, blocks, width);
        return result;
    }

    /// <inheritdoc/>
    public override void Rotate(Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads, bool inverse = false)
    {
        if (!RotaryFits(fused, cosine, sine, heads))
        {
            plain.Rotate(fused, cosine, sine, heads, inverse);
            return;
        }

        var (tokens, rotated) = (KernelTensor.Size(fused, 0), heads.QueryHeads + heads.KeyValueHeads);
        var pieces = (long)tokens * rotated * (heads.RotaryDim / KernelTensor.PieceOf(KernelTensor.TypeOf(fused)));
        launcher.Launch(
            new("rotary", "rotate", KernelTensor.TypeOf(fused)),
            Grid.Covering(pieces, Threads),
            Threads,
            fused,
            cosine,
            sine,
            tokens,
            heads.FusedWidth,
            rotated,
            heads.HeadDim,
            heads.RotaryDim,
            inverse ? -1f : 1f
        );
    }

    /// <inheritdoc/>
    public override void RotateAndCache(
        Tensor fused,
        Tensor cosine,
        Tensor sine,
        HeadLayout heads,
        Tensor keys,
        Tensor values,
        Tensor slots,
        Tensor positions
    )
    {
        if (
            !RotaryFits(fused, cosine, sine, heads)
            || !KernelTensor.Fit(KernelTensor.TypeOf(fused), keys, values)
            || !KernelTensor.Whole(slots, positions)
        )
        {
            plain.RotateAndCache(fused, cosine, sine, heads, keys, values, slots, positions);
            return;
        }

        var tokens = KernelTensor.Size(fused, 0);
        launcher.Launch(
            new("rotary", "rotate_and_cache", KernelTensor.TypeOf(fused)),
            Grid.Covering((long)tokens * heads.FusedWidth / KernelTensor.PieceOf(KernelTensor.TypeOf(fused)), Threads),
            Threads,
            fused,
            cosine,
            sine,
            keys,
            values,
            slots,
            positions,
            tokens,
            heads.FusedWidth,
            heads.QueryWidth,
            heads.KeyValueWidth,
            heads.HeadDim,
            heads.RotaryDim,
            KernelTensor.Size(keys, 1)
        );
    }

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
        SequenceLayout sequences,
        Tensor keys,
        Tensor values,
        Tensor slots,
        Tensor lengths,
        int longest
    ) =>
        sequences.Longest == 1
            ? decode.Attention(fused, heads, sequences, keys, values, slots, lengths, longest)
            : attention.Prefill(fused, heads, sequences, keys, values, slots, lengths, longest);

    /// <inheritdoc/>
    public override Tensor SwiGlu(Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (
            !KernelTensor.Fit(KernelTensor.TypeOf(gateUp), gateUp)
            || width % KernelTensor.PieceOf(KernelTensor.TypeOf(gateUp)) != 0
        )
        {
            return plain.SwiGlu(gateUp);
        }

        var output = KernelTensor.Empty(KernelTensor.TypeOf(gateUp), gateUp.device, rows, width);
        launcher.Launch(
            new("swiglu", "swiglu", KernelTensor.TypeOf(gateUp)),
            RowGrid(rows, width, KernelTensor.TypeOf(gateUp)),
            Threads,
            gateUp,
            output,
            width
        );
        return output;
    }

    /// <inheritdoc/>
    public override Tensor SwiGluBackward(Tensor gradient, Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (
            !KernelTensor.Fit(KernelTensor.TypeOf(gateUp), gateUp, gradient)
            || width % KernelTensor.PieceOf(KernelTensor.TypeOf(gateUp)) != 0
        )
        {
            return plain.SwiGluBackward(gradient, gateUp);
        }

        var result = KernelTensor.Like(gateUp);
        launcher.Launch(
            new("swiglu", "swiglu_backward", KernelTensor.TypeOf(gateUp)),
            RowGrid(rows, width, KernelTensor.TypeOf(gateUp)),
            Threads,
            gradient,
            gateUp,
            result,
            width
        );
        return result;
    }

    /// <inheritdoc/>
    public override Tensor Dropout(Tensor x, double probability, MaskSeed seed)
    {
        if (!KernelTensor.Fit(KernelTensor.TypeOf(x), x) || x.numel() >= 1L << 32)
        {
            return plain.Dropout(x, probability, seed);
        }

        var output = KernelTensor.Like(x);
        launcher.Launch(
            new("dropout", "dropout", KernelTensor.TypeOf(x)),
            Grid.Covering(x.numel(), Threads * KernelTensor.PieceOf(KernelTensor.TypeOf(x))),
            Threads,
            x,
            output,
            x.numel(),
            seed.Stored,
            seed.Key,
            DropoutMask.Threshold(probability),
            (float)(1 / (1 - probability))
        );
        return output;
    }

    /// <inheritdoc/>
    public override Tensor CrossEntropy(Tensor logits, Tensor targets, LossScale scale)
    {
        var (rows, width) = (KernelTensor.Size(logits, 0), KernelTensor.Size(logits, 1));
        if (
            !KernelTensor.Fit(KernelTensor.TypeOf(logits), logits)
            || !KernelTensor.Whole(targets)
            || width % KernelTensor.PieceOf(KernelTensor.TypeOf(logits)) != 0
            || rows == 0
            || (scale.Stored is not null && KernelTensor.TypeOf(scale.Stored) != ScalarType.Float32)
        )
        {
            return plain.CrossEntropy(logits, targets, scale);
        }

        using var losses = KernelTensor.Empty(ScalarType.Float32, logits.device, rows);
        launcher.Launch(
            new("cross_entropy", "cross_entropy", KernelTensor.TypeOf(logits)),
            new(rows),
            BlockFor(width / KernelTensor.PieceOf(KernelTensor.TypeOf(logits)), 1024),
            logits,
            targets,
            losses,
            width,
            scale.Stored,
            (float)scale.Value
        );
        return losses.sum();
    }

    /// <inheritdoc/>
    public override void AdamW(
        Tensor master,
        Tensor gradient,
        Tensor firstMoment,
        Tensor secondMoment,
        Tensor gradientScale,
        in AdamWStep settings,
        Tensor? compute = null
    )
    {
        var type = compute?.dtype ?? KernelTensor.TypeOf(gradient);
        if (
            !KernelTensor.Whole(master, firstMoment, secondMoment, gradient, compute)
            || KernelTensor.TypeOf(gradientScale) != ScalarType.Float32
            || (settings.Stored is not null && KernelTensor.TypeOf(settings.Stored) != ScalarType.Float32)
            || KernelTensor.TypeOf(master) != ScalarType.Float32
            || !KernelTensor.Known(KernelTensor.TypeOf(gradient))
            || !KernelTensor.Known(type)
        )
        {
            plain.AdamW(master, gradient, firstMoment, secondMoment, gradientScale, settings, compute);
            return;
        }

        var aligned =
            KernelTensor.Aligned(master, firstMoment, secondMoment)
            && KernelTensor.AlignedForFour(gradient)
            && KernelTensor.AlignedForFour(compute);
        launcher.Launch(
            new("adamw", "adamw", KernelTensor.TypeOf(gradient), "COMPUTE", (int)type),
            Grid.Covering(master.numel(), 4 * Threads),
            Threads,
            master,
            gradient,
            firstMoment,
            secondMoment,
            gradientScale,
            compute,
            master.numel(),
            aligned ? 1 : 0,
            (float)settings.Beta1,
            (float)settings.Beta2,
            (float)settings.Epsilon,
            settings.Stored,
            (float)settings.Factors.Shrink,
            (float)settings.Factors.Rate,
            (float)settings.Factors.InverseCorrection2
        );
    }

    /// <inheritdoc/>
    public override Tensor TokenRows(Tensor table, Tensor ids)
    {
        var type = KernelTensor.TypeOf(table);
        if (
            table.device_type == ids.device_type
            || !KernelTensor.Fit(type, table)
            || !KernelTensor.Whole(ids)
            || KernelTensor.Size(table, 1) % KernelTensor.PieceOf(type) != 0
        )
        {
            return base.TokenRows(table, ids);
        }
        // Page-locked memory has the same address on the GPU, which reads the rows over the bus by itself: nothing
        // waits.
        var (tokens, width) = (KernelTensor.Size(ids, 0), KernelTensor.Size(table, 1));
        var result = KernelTensor.Empty(type, ids.device, tokens, width);
        launcher.Launch(
            new("embedding", "token_rows", type, "COMPUTE", (int)type),
            new(tokens),
            Threads,
            table,
            ids,
            result,
            width
        );
        return result;
    }

    /// <inheritdoc/>
    public override void AddEmbeddingGradient(Tensor gradient, Tensor ids, Tensor target)
    {
        var (tokens, width) = (KernelTensor.Size(gradient, 0), KernelTensor.Size(gradient, 1));
        if (
            !KernelTensor.Fit(KernelTensor.TypeOf(gradient), gradient)
            || !KernelTensor.Fit(KernelTensor.TypeOf(target), target)
            || width % 4 != 0
            || tokens == 0
        )
        {
            plain.AddEmbeddingGradient(gradient, ids, target);
            return;
        }

        using var scope = NewDisposeScope();
        var (sorted, order) = sort(ids, 0, descending: false, stable: true);
        launcher.Launch(
            new(
                "embedding",
                "embedding_backward",
                KernelTensor.TypeOf(gradient),
                "COMPUTE",
                (int)KernelTensor.TypeOf(target)
            ),
            new(tokens),
            Threads,
            gradient,
            sorted,
            order,
            target,
            tokens,
            width
        );
    }

    /// <inheritdoc/>
    public override Tensor Project(Tensor x, Tensor weight, Tensor? bias = null, Tensor? residual = null) =>
        decode.Project(x, weight, bias, residual);

    /// <inheritdoc/>
    public override Tensor ProjectSwiGlu(Tensor x, Tensor weight) => decode.ProjectSwiGlu(this, x, weight);

    /// <inheritdoc/>
    public override Tensor ArgMax(Tensor logits, int count)
    {
        if (!KernelTensor.Fit(KernelTensor.TypeOf(logits), logits))
        {
            return plain.ArgMax(logits, count);
        }

        var result = KernelTensor.Empty(ScalarType.Float64, logits.device, 2, KernelTensor.Size(logits, 0));
        launcher.Launch(
            new("argmax", "argmax", KernelTensor.TypeOf(logits)),
            new(KernelTensor.Size(logits, 0)),
            BlockFor(count, 1024),
            logits,
            result,
            KernelTensor.Size(logits, 1),
            count
        );
        return result;
    }

    /// <inheritdoc/>
    public override (Tensor Hidden, Tensor Cosine, Tensor Sine) Embed(
        Tensor ids,
        Tensor positions,
        Tensor table,
        Tensor cosines,
        Tensor sines
    )
    {
        var type = KernelTensor.TypeOf(table);
        if (
            !KernelTensor.Fit(type, table)
            || !KernelTensor.Fit(ScalarType.Float32, cosines, sines)
            || !KernelTensor.Whole(ids, positions)
            || KernelTensor.Size(table, 1) % KernelTensor.PieceOf(type) != 0
        )
        {
            return plain.Embed(ids, positions, table, cosines, sines);
        }

        var (tokens, width, half) = (
            KernelTensor.Size(ids, 0),
            KernelTensor.Size(table, 1),
            KernelTensor.Size(cosines, 1)
        );
        var hidden = KernelTensor.Empty(type, ids.device, tokens, width);
        var (cosine, sine) = (
            KernelTensor.Empty(ScalarType.Float32, ids.device, tokens, half),
            KernelTensor.Empty(ScalarType.Float32, ids.device, tokens, half)
        );
        launcher.Launch(
            new("embed", "embed", type),
            new(tokens),
            Threads,
            ids,
            positions,
            table,
            cosines,
            sines,
            hidden,
            cosine,
            sine,
            width,
            half
        );
        return (hidden, cosine, sine);
    }

    /// <inheritdoc/>
    public override Tensor SelectRows(Tensor table, Tensor index)
    {
        if (KernelTensor.TypeOf(table) != ScalarType.Float32 || !KernelTensor.Whole(table, index))
        {
            return plain.SelectRows(table, index);
        }

        var (rows, width) = (KernelTensor.Size(index, 0), KernelTensor.Size(table, 1));
        var result = KernelTensor.Empty(ScalarType.Float32, table.device, rows, width);
        launcher.Launch(
            new("embed", "select_rows", ScalarType.Float32),
            new(rows),
            Threads,
            table,
            index,
            result,
            width
        );
        return result;
    }

    /// <inheritdoc/>
    public override Tensor LowRankDown(Tensor x, Tensor a, double probability, MaskSeed seed)
    {
        if (!LowRankFits(x, a))
        {
            return base.LowRankDown(x, a, probability, seed);
        }

        var (tokens, width, rank) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(a, 0));
        var low = KernelTensor.Empty(KernelTensor.TypeOf(x), x.device, tokens, rank);
        launcher.Launch(
            LowRankKernel("low_rank_down", x, rank),
            Grid.Covering(tokens, 16),
            128,
            x,
            a,
            low,
            tokens,
            width,
            seed.Stored,
            seed.Key,
            DropoutMask.Threshold(probability),
            (float)(1 / (1 - probability))
        );
        return low;
    }

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
        var type = KernelTensor.TypeOf(x);
        if (
            !LowRankFits(x, a)
            || !KernelTensor.Fit(type, gradient, inputGradient)
            || (weightGradient is not null && !KernelTensor.Fit(ScalarType.Float32, weightGradient))
        )
        {
            base.LowRankDownBackward(gradient, x, a, probability, seed, inputGradient, weightGradient);
            return;
        }

        var (tokens, width, rank) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(a, 0));
        var (key, threshold, scale) = (seed.Key, DropoutMask.Threshold(probability), (float)(1 / (1 - probability)));
        // Sixteen warps per multiprocessor, each with a similar number of steps of 16 tokens.
        var (columns, steps) = (width / 64, (tokens + 63) / 64);
        var blocks = Math.Clamp(4 * launcher.Multiprocessors / columns, 1, steps);
        if (inputGradient is not null)
        {
            launcher.Launch(
                LowRankKernel("low_rank_input_gradient", x, rank),
                new(columns, blocks),
                128,
                gradient,
                a,
                inputGradient,
                tokens,
                width,
                seed.Stored,
                key,
                threshold,
                scale
            );
        }

        if (weightGradient is not null)
        {
            using var scope = NewDisposeScope();
            var partial = KernelTensor.Empty(ScalarType.Float32, x.device, blocks, rank, width);
            var padded = (tokens + 15) / 16 * 16;
            var transposed = padded == tokens ? gradient.t().contiguous() : zeros([rank, padded], type, x.device);
            if (padded != tokens)
            {
                transposed.narrow(1, 0, tokens).copy_(gradient.t());
            }

            launcher.Launch(
                LowRankKernel("low_rank_weight_gradient", x, rank),
                new(columns, blocks),
                128,
                transposed,
                x,
                partial,
                tokens,
                padded,
                width,
                seed.Stored,
                key,
                threshold,
                scale
            );
            AddColumns(partial, weightGradient, blocks, rank * width);
        }
    }

    private void AddColumns(Tensor partial, Tensor target, int rows, int width) =>
        launcher.Launch(
            new("columns", "add_columns", ScalarType.Float32),
            Grid.Covering(width, 32),
            Threads,
            partial,
            target,
            rows,
            width
        );

    private static KernelName LowRankKernel(string function, Tensor x, int rank) =>
        new("low_rank", function, KernelTensor.TypeOf(x), "RANK", rank);

    private static bool LowRankFits(Tensor x, Tensor a) =>
        KernelTensor.TypeOf(x) is ScalarType.BFloat16 or ScalarType.Float16
        && KernelTensor.Fit(KernelTensor.TypeOf(x), x, a)
        && KernelTensor.Size(a, 0) % 8 == 0
        && KernelTensor.Size(a, 0) <= 40
        && KernelTensor.Size(x, 1) % 64 == 0
        && x.numel() < 1L << 32;

    private static bool NormFits(Tensor x, params ReadOnlySpan<Tensor?> others) =>
        KernelTensor.Fit(KernelTensor.TypeOf(x), x)
        && KernelTensor.Fit(KernelTensor.TypeOf(x), others)
        && KernelTensor.Size(x, 1) % KernelTensor.PieceOf(KernelTensor.TypeOf(x)) == 0
        && KernelTensor.Size(x, 1) / KernelTensor.PieceOf(KernelTensor.TypeOf(x)) <= NormPieces * NormThreads;

    private static bool RotaryFits(Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads) =>
        KernelTensor.Fit(KernelTensor.TypeOf(fused), fused)
        && KernelTensor.Fit(ScalarType.Float32, cosine, sine)
        && heads.RotaryDim % KernelTensor.PieceOf(KernelTensor.TypeOf(fused)) == 0
        && heads.HeadDim % KernelTensor.PieceOf(KernelTensor.TypeOf(fused)) == 0;

    private static KernelName NormKernel(string function, Tensor x, int pieces) =>
        new("rms_norm", function, KernelTensor.TypeOf(x), "PACKS", pieces);

    // Two pieces per thread in flight are enough; longer rows use four rather than more than 512 threads.
    private static int NormPiecesFor(Tensor x) =>
        KernelTensor.Size(x, 1) / KernelTensor.PieceOf(KernelTensor.TypeOf(x)) <= 2 * NormThreads ? 2 : NormPieces;

    private static int NormBlock(Tensor x, int pieces) =>
        BlockFor(
            ((KernelTensor.Size(x, 1) / KernelTensor.PieceOf(KernelTensor.TypeOf(x))) + pieces - 1) / pieces,
            NormThreads
        );

    // Whole warps for this many threads' work.
    private static int BlockFor(int threads, int most) => Math.Clamp((threads + 31) / 32 * 32, 32, most);

    private static Grid RowGrid(int rows, int width, ScalarType type) =>
        new(rows, (int)Grid.Covering(width, Threads * KernelTensor.PieceOf(type)).X);

    private void LaunchNorm(
        Tensor x,
        Tensor? delta,
        Tensor weight,
        Tensor? sum,
        Tensor output,
        Tensor inverse,
        double epsilon
    )
    {
        var pieces = NormPiecesFor(x);
        launcher.Launch(
            NormKernel("rms_norm", x, pieces),
            new(KernelTensor.Size(x, 0)),
            NormBlock(x, pieces),
            x,
            delta,
            weight,
            sum,
            output,
            inverse,
            KernelTensor.Size(x, 1),
            (float)epsilon
        );
    }
}
