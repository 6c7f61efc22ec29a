using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Everything in a decoder layer except matrix products with weights, forward and backward.</summary>
/// <remarks>N tokens, C hidden, F feed-forward, V vocabulary, heads as in <see cref="HeadLayout"/>. Inputs are
/// contiguous and on one device. Arithmetic is in float32 (float64 for float64 inputs); outputs have the type of the
/// input. Returned tensors belong to the caller's dispose scope. <see cref="PlainKernels"/> is the reference; other
/// implementations must agree with it, dropout masks to the bit.</remarks>
internal abstract partial class LayerKernels
{
    /// <summary>Root-mean-square norm over the last axis: y = weight · x / sqrt(mean(x²) + epsilon).</summary>
    /// <param name="x">[N, C].</param>
    /// <param name="weight">[C], of the same type.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <returns>y [N, C] and 1 / sqrt(mean(x²) + epsilon), [N, 1], float32 or wider.</returns>
    /// <remarks>Source: Zhang and Sennrich, arXiv:1910.07467, equation 4.</remarks>
    public abstract (Tensor Output, Tensor InverseRms) RmsNorm(Tensor x, Tensor weight, double epsilon);

    /// <summary>Residual sum followed by a norm: s = x + delta; y = RmsNorm(s).</summary>
    /// <returns>s [N, C], y [N, C], inverse root mean square of s [N, 1].</returns>
    public abstract (Tensor Sum, Tensor Output, Tensor InverseRms) AddRmsNorm(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon
    );

    /// <summary>Gradient of the norm's input, plus that of the residual stream that bypassed the norm.</summary>
    /// <param name="gradient">Gradient of the norm's output, [N, C].</param>
    /// <param name="x">The norm's input, [N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="inverseRms">From the forward pass, [N, 1].</param>
    /// <param name="residualGradient">Added to the result if not null, [N, C].</param>
    /// <param name="weightGradient">[C], float32 or wider; the weight's gradient is added to it. Null: not
    /// computed.</param>
    /// <returns>[N, C].</returns>
    public abstract Tensor RmsNormBackward(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor? residualGradient,
        Tensor? weightGradient
    );

    /// <summary>Rotates the first features of every query and key head by its token's angle, in place; values are
    /// unchanged.</summary>
    /// <param name="fused">Query-key-value rows [N, (H + 2K)·D].</param>
    /// <param name="cosine">[N, rotaryDim / 2], float32 (already rounded to the model's type).</param>
    /// <param name="sine">As <paramref name="cosine"/>.</param>
    /// <param name="heads">How a row is divided into heads.</param>
    /// <param name="inverse">Whether to rotate in the opposite direction, as gradients require.</param>
    /// <remarks>Pairs are adjacent features (0,1), (2,3). Source: Su et al., RoFormer, arXiv:2104.09864, section
    /// 3.4.2.</remarks>
    public abstract void Rotate(Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads, bool inverse = false);

    /// <summary><see cref="Rotate"/>, then copies the rows' keys and values to their positions in a cache.</summary>
    /// <param name="fused">Query-key-value rows [N, (H + 2K)·D]; rotated in place.</param>
    /// <param name="cosine">As for <see cref="Rotate"/>.</param>
    /// <param name="sine">As for <see cref="Rotate"/>.</param>
    /// <param name="heads">How a row is divided into heads.</param>
    /// <param name="cache">Blocks of the cache; written to.</param>
    /// <param name="slots">Slot of each token's sequence, int64 [N].</param>
    /// <param name="positions">Position of each token in its slot (cached tokens before it), int64 [N].</param>
    public abstract void RotateAndCache(
        Tensor fused,
        Tensor cosine,
        Tensor sine,
        HeadLayout heads,
        CachedBlocks cache,
        Tensor slots,
        Tensor positions
    );

    /// <summary>Causal grouped-query attention within each sequence; virtual tokens are visible to all.</summary>
    /// <param name="fused">Rotated query-key-value rows [N, (H + 2K)·D].</param>
    /// <param name="heads">How a row is divided into heads.</param>
    /// <param name="sequences">Which rows attend to each other.</param>
    /// <param name="prefix">Keys and values of P virtual tokens prepended to every sequence, [2, P, K, D]; null:
    /// none.</param>
    /// <param name="tape">Receives what the backward pass needs; null: nothing is saved.</param>
    /// <returns>Attention output [N, H·D].</returns>
    public abstract Tensor Attention(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefix,
        Tape? tape
    );

    /// <summary>Gradient of <see cref="Attention"/>.</summary>
    /// <param name="gradient">Gradient of its result, [N, H·D].</param>
    /// <param name="heads">As in the forward pass.</param>
    /// <param name="sequences">As in the forward pass.</param>
    /// <param name="prefixGradient">With a prefix: [2, P, K, D], float32 or wider; the prefix's gradient is added to
    /// it. Null: not computed.</param>
    /// <param name="tape">What the forward pass saved.</param>
    /// <returns>Gradient of the rotated rows [N, (H + 2K)·D].</returns>
    public abstract Tensor AttentionBackward(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefixGradient,
        Tape tape
    );

    /// <summary>Attention of new tokens to cached keys and values, including their own, which are already in the
    /// cache.</summary>
    /// <param name="fused">Rotated rows of the new tokens [N, (H + 2K)·D]; only the queries are read.</param>
    /// <param name="heads">How a row is divided into heads.</param>
    /// <param name="cache">Blocks of the cache.</param>
    /// <param name="sequences">The sequences, and how many tokens each has in the cache.</param>
    /// <returns>Attention output [N, H·D].</returns>
    public abstract Tensor CachedAttention(
        Tensor fused,
        HeadLayout heads,
        CachedBlocks cache,
        CachedSequences sequences
    );

    /// <summary>silu(gate) · up, where a row is [gate, up].</summary>
    /// <param name="gateUp">[N, 2F].</param>
    /// <returns>[N, F].</returns>
    /// <remarks>Source: Shazeer, arXiv:2002.05202, section 2.</remarks>
    public abstract Tensor SwiGlu(Tensor gateUp);

    /// <summary>Gradient of <see cref="SwiGlu"/>'s input.</summary>
    /// <param name="gradient">Gradient of its result, [N, F].</param>
    /// <param name="gateUp">The forward pass's input [N, 2F].</param>
    /// <returns>[N, 2F].</returns>
    public abstract Tensor SwiGluBackward(Tensor gradient, Tensor gateUp);

    /// <summary>Sets each element to zero with a given probability and scales the others accordingly; the gradient is
    /// computed by the same function.</summary>
    /// <param name="x">Any shape.</param>
    /// <param name="probability">Probability of zeroing, [0, 1).</param>
    /// <param name="seed">Determines the mask, together with each element's flat index only.</param>
    /// <returns>As <paramref name="x"/>.</returns>
    public abstract Tensor Dropout(Tensor x, double probability, MaskSeed seed);

    /// <summary>First half of a low-rank adapter: dropout(x) · aᵀ.</summary>
    /// <param name="x">[N, in].</param>
    /// <param name="a">[r, in], of the same type.</param>
    /// <param name="probability">Probability of zeroing an element of x, [0, 1).</param>
    /// <param name="seed">As for <see cref="Dropout"/>, whose mask is used.</param>
    /// <returns>[N, r].</returns>
    /// <remarks>Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1.</remarks>
    public virtual Tensor LowRankDown(Tensor x, Tensor a, double probability, MaskSeed seed)
    {
        using var scope = NewDisposeScope();
        return Dropped(x, probability, seed).mm(a.t()).MoveToOuterDisposeScope();
    }

    /// <summary>Gradients of <see cref="LowRankDown"/>, added where requested.</summary>
    /// <param name="gradient">Gradient of its result, [N, r].</param>
    /// <param name="x">As in the forward pass.</param>
    /// <param name="a">As in the forward pass.</param>
    /// <param name="probability">As in the forward pass.</param>
    /// <param name="seed">As in the forward pass.</param>
    /// <param name="inputGradient">[N, in], of x's type; added to. Null: not computed.</param>
    /// <param name="weightGradient">[r, in], float32 or wider; added to. Null: not computed.</param>
    public virtual void LowRankDownBackward(
        Tensor gradient,
        Tensor x,
        Tensor a,
        double probability,
        MaskSeed seed,
        Tensor? inputGradient,
        Tensor? weightGradient
    )
    {
        using var scope = NewDisposeScope();
        inputGradient?.AddInPlace(Dropped(gradient.mm(a), probability, seed));
        weightGradient?.AddInPlace(gradient.t().mm(Dropped(x, probability, seed)));
    }

    /// <summary>Summed cross-entropy of a chunk of logits, which are overwritten by their gradient.</summary>
    /// <param name="logits">[n, V]; afterwards (softmax − one-hot) · <paramref name="scale"/>.</param>
    /// <param name="targets">int64 [n], each in [0, V). If the scale is a stored one, a target below 0 means that the
    /// row is ignored.</param>
    /// <param name="scale">Scale of the gradient (not of the returned loss).</param>
    /// <returns>Sum of −log softmax at the targets, a float32 (or wider) scalar on the device.</returns>
    public abstract Tensor CrossEntropy(Tensor logits, Tensor targets, LossScale scale);

    /// <summary>One AdamW update of a flat run of parameters, in place.</summary>
    /// <param name="master">Parameters [n], float32 or wider.</param>
    /// <param name="gradient">[n], any floating-point type; read as <c>gradient · gradientScale</c>.</param>
    /// <param name="firstMoment">[n], as the master.</param>
    /// <param name="secondMoment">[n], as the master.</param>
    /// <param name="gradientScale">Scalar on the device (for clipping), float32 or wider, [].</param>
    /// <param name="settings">The numbers of this step.</param>
    /// <param name="compute">Receives a copy of the updated parameters in its own type, [n]; null: none.</param>
    /// <remarks>Source: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2.</remarks>
    public abstract void AdamW(
        Tensor master,
        Tensor gradient,
        Tensor firstMoment,
        Tensor secondMoment,
        Tensor gradientScale,
        in AdamWStep settings,
        Tensor? compute = null
    );

    /// <summary>Looks up rows of an embedding table.</summary>
    /// <param name="table">[V, C]; on the device of the ids or, page-locked if the ids are on a GPU, in host
    /// memory.</param>
    /// <param name="ids">int64 [N].</param>
    /// <returns>[N, C], on the device of the ids.</returns>
    public virtual Tensor TokenRows(Tensor table, Tensor ids)
    {
        if (table.device_type == ids.device_type)
        {
            return table.index_select(0, ids);
        }

        using var scope = NewDisposeScope();
        return table.index_select(0, ids.to(table.device)).to(ids.device).MoveToOuterDisposeScope();
    }

    /// <summary>Adds each token's gradient to its row of an embedding's gradient.</summary>
    /// <param name="gradient">Gradient of the embedded tokens, [N, C].</param>
    /// <param name="ids">int64 [N].</param>
    /// <param name="target">[V, C], any floating-point type; added to.</param>
    public abstract void AddEmbeddingGradient(Tensor gradient, Tensor ids, Tensor target);

    /// <summary>A linear layer without a backward pass: x · weightᵀ + bias + residual. Optimized for few rows
    /// (decoding).</summary>
    /// <param name="x">[n, in].</param>
    /// <param name="weight">[out, in].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="residual">[n, out], or null.</param>
    /// <returns>[n, out].</returns>
    public abstract Tensor Project(Tensor x, Tensor weight, Tensor? bias = null, Tensor? residual = null);

    /// <summary><see cref="SwiGlu"/> of x · weightᵀ, like
    /// <see cref="Project(Tensor, Tensor, Tensor?, Tensor?)"/>.</summary>
    /// <param name="x">[n, in].</param>
    /// <param name="weight">[2F, in]: rows of the gate, then of up.</param>
    /// <returns>[n, F].</returns>
    public abstract Tensor ProjectSwiGlu(Tensor x, Tensor weight);

    /// <summary>The largest of each row's first <paramref name="count"/> logits with its index; among equals, the
    /// lowest index. NaN counts as the largest.</summary>
    /// <param name="logits">[n, V].</param>
    /// <param name="count">1 to V: rows beyond the tokenizer's last token are never selected.</param>
    /// <returns>float64 [2, n]: the indices, then the logits, so that one copy brings both to the host.</returns>
    public abstract Tensor ArgMax(Tensor logits, int count);

    /// <summary>Chooses the next token of each row of a table: edits (bias, repetition, presence and frequency
    /// penalties), mask, then the most likely token or a draw after <see cref="TokenDraw"/>.</summary>
    /// <param name="logits">[n, V].</param>
    /// <param name="table">The rows, m of them; each names its row of the logits.</param>
    /// <param name="count">1 to V: rows of the vocabulary beyond the tokenizer's last token are never chosen.</param>
    /// <param name="drawn">int64 [m]: the tokens of the pass before, which rows with a pending token count; replaced by
    /// the chosen ones, −1 where everything is forbidden.</param>
    /// <param name="ids">int64 [m]: the same tokens for the next pass, 0 where everything is forbidden.</param>
    /// <returns>float64 [2, m]: the tokens, then the highest score of each row. If that is not finite, nothing was
    /// drawn.</returns>
    public abstract Tensor Sample(Tensor logits, SamplingTable table, int count, Tensor drawn, Tensor ids);

    /// <summary>What decoding begins with: each new token's row of the embedding and its position's
    /// angles.</summary>
    /// <param name="ids">int64 [n].</param>
    /// <param name="positions">int64 [n], rows of the tables.</param>
    /// <param name="table">The embedding [V, C]; for its device see <see cref="TokenRows"/>.</param>
    /// <param name="cosines">[positions, rotaryDim / 2], float32 or wider.</param>
    /// <param name="sines">As <paramref name="cosines"/>.</param>
    /// <returns>Hidden states [n, C], cosines and sines [n, rotaryDim / 2].</returns>
    public abstract (Tensor Hidden, Tensor Cosine, Tensor Sine) Embed(
        Tensor ids,
        Tensor positions,
        Tensor table,
        Tensor cosines,
        Tensor sines
    );

    /// <summary>Looks up rows of a small table, in a pass with few rows and no backward pass.</summary>
    /// <param name="table">[rows, width], float32 or wider.</param>
    /// <param name="index">int64 [n].</param>
    /// <returns>[n, width].</returns>
    public abstract Tensor SelectRows(Tensor table, Tensor index);

    /// <summary>Description for the log: which implementation, on which GPU, or why the fused one is not
    /// used.</summary>
    public abstract string Description { get; }

    /// <summary>Fused kernels that were not used for some inputs so far, each with the reason; empty where plain
    /// operators are the only way.</summary>
    public virtual IReadOnlyList<string> Fallbacks => [];

    /// <summary>Whether a pass through whole sequences can be captured as a CUDA graph: attention runs by operators
    /// whose memory does not depend on how the tokens are split into sequences.</summary>
    /// <param name="type">The model's type.</param>
    /// <param name="heads">Heads of attention.</param>
    public virtual bool CanCapture(ScalarType type, HeadLayout heads) => false;

    /// <summary>Whether a pass of one new token per sequence can be captured: every function takes its memory from a
    /// <see cref="Cuda.TensorArena"/>.</summary>
    /// <param name="type">The model's type.</param>
    /// <param name="heads">Heads of attention.</param>
    /// <param name="widths">Input features of the linear layers.</param>
    public virtual bool CanCaptureDecoding(ScalarType type, HeadLayout heads, params ReadOnlySpan<int> widths) => false;

    /// <summary>The implementation for <paramref name="device"/>: fused kernels on a GPU unless
    /// <paramref name="plain"/>, otherwise plain operators.</summary>
    /// <remarks>A GPU without a run-time compiler uses plain operators; <see cref="Description"/> says why.</remarks>
    public static LayerKernels For(Device device, bool plain = false) =>
        plain ? new PlainKernels()
        : device.type != DeviceType.CUDA ? ForCpu()
        : Cuda.CudaKernels.TryCreate(device, out var reason) ?? (LayerKernels)new PlainKernels(reason);

    private static PlainKernels ForCpu()
    {
        var reason = NativeRuntime.Load().PassedOver is { Count: > 0 } passed ? string.Join("; ", passed) : null;
        return Cpu.CpuKernels.IsSupported ? new Cpu.CpuKernels(reason) : new PlainKernels(reason);
    }

    private Tensor Dropped(Tensor x, double probability, MaskSeed seed) =>
        probability == 0 ? x : Dropout(x, probability, seed);
}

/// <summary>The numbers of one AdamW update.</summary>
/// <param name="LearningRate">Learning rate of this step.</param>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled weight decay.</param>
/// <param name="Step">Number of this update, from 1.</param>
/// <param name="Stored"><see cref="Factors"/> in memory, float32 (or wider) [3] on the device, which a captured graph
/// reads at each replay; learning rate, decay and step are then ignored. Null: those are used.</param>
internal readonly record struct AdamWStep(
    double LearningRate,
    double Beta1,
    double Beta2,
    double Epsilon,
    double WeightDecay,
    long Step,
    Tensor? Stored = null
)
{
    /// <summary>The factors that change from step to step: 1 − rate · decay, rate / (1 − beta1ᵗ), 1 / (1 −
    /// beta2ᵗ).</summary>
    public (double Shrink, double Rate, double InverseCorrection2) Factors =>
        (1 - (LearningRate * WeightDecay), LearningRate / (1 - Math.Pow(Beta1, Step)), 1 / (1 - Math.Pow(Beta2, Step)));
}
