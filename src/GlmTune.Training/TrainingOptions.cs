using GlmTune.Kernels.Definitions;
using GlmTune.Training.Sentinel;

namespace GlmTune.Training;

/// <summary>Options of a training run: batch sizes, length, and when it logs, evaluates and saves. Names and defaults
/// are those of Hugging Face's training arguments, if they have a counterpart.</summary>
/// <remarks>Immutable. Values are checked when a recipe is read.</remarks>
public sealed record TrainingOptions
{
    /// <summary>Folder for checkpoints. Default: <c>./output</c>.</summary>
    public string OutputFolder { get; init; } = "./output";

    /// <summary>Whether a run that starts from scratch removes what an earlier run left in the output folder; otherwise
    /// it refuses to start.</summary>
    public bool OverwriteOutputFolder { get; init; }

    /// <summary>Rows per forward pass in training on one rank; at least 1. Default: 8.</summary>
    public int MicroBatchSize { get; init; } = 8;

    /// <summary>Rows per forward pass, or answers generated at once, in evaluation on one rank; at least 1. Default:
    /// 8.</summary>
    public int EvaluationBatchSize { get; init; } = 8;

    /// <summary>Micro-batches per step; at least 1. Default: 1.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>Whether to drop the rows of an epoch that do not fill a micro-batch. Packed micro-batches are always
    /// kept.</summary>
    public bool DropLast { get; init; }

    /// <summary>Number of steps in the whole run; null: <see cref="Epochs"/> determines the length. Default:
    /// null.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>Number of passes over the training rows if <see cref="MaxSteps"/> is null; positive, may be fractional.
    /// Default: 3.</summary>
    public double Epochs { get; init; } = 3;

    /// <summary>Seed of initialization, dropout and, unless <see cref="DataSeed"/> is set, of the order of rows.
    /// Default: 42.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Seed of the order of rows; null: <see cref="Seed"/>.</summary>
    public int? DataSeed { get; init; }

    /// <summary>Type of the frozen weights and of the computation. Default: <see cref="Precision.Auto"/>.</summary>
    public Precision Precision { get; init; }

    /// <summary>Whether frozen weights of the linear layers in decoder layers are stored and multiplied in fp8.
    /// Default: false.</summary>
    public bool Fp8Base { get; init; }

    /// <summary>How the frozen weights of the linear layers in decoder layers are stored, to be dequantized for every
    /// product. Default: <see cref="BaseQuantization.None"/>.</summary>
    public BaseQuantization Quantization { get; init; }

    /// <summary>How frozen weights are stored; null: in the type of the computation.</summary>
    internal FrozenType? FrozenType =>
        Quantization switch
        {
            BaseQuantization.Nf4 => Kernels.Definitions.FrozenType.Nf4,
            BaseQuantization.Int8 => Kernels.Definitions.FrozenType.Int8,
            _ => Fp8Base ? Kernels.Definitions.FrozenType.Fp8 : null,
        };

    /// <summary>The key that sets <see cref="FrozenType"/>.</summary>
    internal string FrozenKey => Quantization == BaseQuantization.None ? "fp8_base" : "quantization";

    /// <summary>Whether the frozen embedding table is stored in host memory. Default: false.</summary>
    public bool OffloadEmbedding { get; init; }

    /// <summary>Whether the inputs of the decoder layers, all of which are then recomputed, are kept in host memory
    /// between the forward and the backward pass. Default: false.</summary>
    public bool OffloadActivations { get; init; }

    /// <summary>Whether the optimizer's state is in host memory. Default: false.</summary>
    public bool OffloadOptimizer { get; init; }

    /// <summary>Whether weights are in host memory, and brought to the device layer by layer. Default: false.</summary>
    public bool OffloadParameters { get; init; }

    /// <summary>Whether the passes of the longest rows run once before the first step, without an update, so that a run
    /// that needs too much memory fails at its beginning. Default: true.</summary>
    public bool MemoryProbe { get; init; } = true;

    /// <summary>Whether settings that need less memory are made where the run would not fit: recomputation, shorter
    /// packed sequences or fewer rows at a time, offloads. Default: false.</summary>
    public bool Fit { get; init; }

    /// <summary>Whether activations are recomputed in the backward pass. Default:
    /// <see cref="RecomputeMode.Auto"/>.</summary>
    public RecomputeMode Recompute { get; init; }

    /// <summary>Whether rows are packed into sequences of up to <see cref="PackLength"/> tokens, isolated from each
    /// other. A micro-batch is then one such sequence. Null: only on a GPU. Default: null.</summary>
    public bool? Packing { get; init; }

    /// <summary>Maximum tokens per packed sequence; null: <see cref="MicroBatchSize"/> × the maximum length of a
    /// row.</summary>
    public int? PackLength { get; init; }

    /// <summary>Whether small steps on a GPU are captured as CUDA graphs. Default: true.</summary>
    public bool CudaGraphs { get; init; } = true;

    /// <summary>Number of ranks that share the tokens of each micro-batch: a divisor of the number of ranks.
    /// Default: 1.</summary>
    public int SequenceParallelSize { get; init; } = 1;

    /// <summary>Whether to run on the CPU even if there is a working GPU. Default: false.</summary>
    public bool UseCpu { get; init; }

    /// <summary>When to log. Default: by steps.</summary>
    public IntervalStrategy LoggingStrategy { get; init; } = IntervalStrategy.Steps;

    /// <summary>Logging interval. Default: 500.</summary>
    public StepInterval LoggingSteps { get; init; } = 500;

    /// <summary>Whether the first step is also logged. Default: false.</summary>
    public bool LoggingFirstStep { get; init; }

    /// <summary>Whether to write TensorBoard event files. Default: true.</summary>
    public bool TensorBoard { get; init; } = true;

    /// <summary>Folder for event files; null: a new folder in the output folder's <c>runs</c>, named after time and
    /// machine.</summary>
    public string? TensorBoardFolder { get; init; }

    /// <summary>When to evaluate. Default: never.</summary>
    public IntervalStrategy EvaluationStrategy { get; init; } = IntervalStrategy.No;

    /// <summary>Evaluation interval; null: <see cref="LoggingSteps"/>.</summary>
    public StepInterval? EvaluationSteps { get; init; }

    /// <summary>Number of steps (or epochs, with that strategy) before the first evaluation. Default: 0.</summary>
    public double EvaluationDelay { get; init; }

    /// <summary>Whether to evaluate once before the first step. Default: false.</summary>
    public bool EvaluationOnStart { get; init; }

    /// <summary>Whether evaluation also generates and scores answers, in addition to the loss. Default:
    /// false.</summary>
    public bool PredictWithGenerate { get; init; }

    /// <summary>When to save. Default: by steps.</summary>
    public IntervalStrategy SaveStrategy { get; init; } = IntervalStrategy.Steps;

    /// <summary>Saving interval. Default: 500.</summary>
    public StepInterval SaveSteps { get; init; } = 500;

    /// <summary>Number of checkpoints to keep, including the newest and the best; null: all.</summary>
    public int? SaveTotalLimit { get; init; }

    /// <summary>How long a run pauses for a checkpoint that cannot be written, before it continues without it. Default
    /// 1 minute.</summary>
    public TimeSpan SaveRetry { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Whether checkpoints are copied to host memory and written behind training, if the copy fits there.
    /// Default: true.</summary>
    public bool SaveAsync { get; init; } = true;

    /// <summary>What happens when the loss or gradient norm of a step is not finite. Default:
    /// <see cref="BadStepPolicy.Stop"/>.</summary>
    public BadStepPolicy NonFinitePolicy { get; init; } = BadStepPolicy.Stop;

    /// <summary>What happens at a spike. Default: <see cref="BadStepPolicy.Skip"/>.</summary>
    public BadStepPolicy SpikePolicy { get; init; } = BadStepPolicy.Skip;

    /// <summary>A loss or gradient norm is a spike if it is this many times the median of the accepted steps before;
    /// above 1, or 0: nothing is. Default: 0.</summary>
    public double SpikeFactor { get; init; }

    /// <summary>Number of accepted steps whose median counts; at least 1. Default: 64.</summary>
    public int SpikeWindow { get; init; } = 64;

    /// <summary>How often a run may go back to a checkpoint before it stops. Default: 3.</summary>
    public int MaxRewinds { get; init; } = 3;

    /// <summary>Whether a step may be given up after its gradients are known, so that all of them are kept until its
    /// update.</summary>
    internal bool KeepsGradientsUntilUpdate => NonFinitePolicy == BadStepPolicy.Skip || SpikeFactor > 0;

    /// <summary>Whether the run may go back to a checkpoint.</summary>
    internal bool MayRewind =>
        NonFinitePolicy == BadStepPolicy.Rewind || (SpikeFactor > 0 && SpikePolicy == BadStepPolicy.Rewind);

    /// <summary>Whether checkpoints omit what only a resumed run needs. Default: false.</summary>
    public bool SaveOnlyModel { get; init; }

    /// <summary>Whether to load the weights of the best evaluation at the end. Default: false.</summary>
    public bool LoadBestModelAtEnd { get; init; }

    /// <summary>Metric that determines the best evaluation, with or without the prefix <c>eval_</c>; null: <c>loss</c>
    /// if one is needed.</summary>
    public string? MetricForBestModel { get; init; }

    /// <summary>Whether greater values of the metric are better; null: yes, unless its name ends with <c>loss</c> or is
    /// <c>perplexity</c>.</summary>
    public bool? GreaterIsBetter { get; init; }

    /// <summary>Number of evaluations without improvement after which the run stops; null: no early stopping.</summary>
    public int? EarlyStoppingPatience { get; init; }

    /// <summary>Minimum change of the metric that counts as an improvement; at least 0. Default: 0.</summary>
    public double EarlyStoppingThreshold { get; init; }

    /// <summary>How long a rank waits for the others before it gives up (<c>ddp_timeout</c>). Default: 30
    /// minutes.</summary>
    public TimeSpan CollectiveTimeout { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>How long a run may make no progress before <c>glmtune train</c> reports where it hangs and ends it
    /// (<c>stall_timeout</c>); zero: never. Default: 25 minutes.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromMinutes(25);
}

/// <summary>When something happens during training.</summary>
public enum IntervalStrategy
{
    /// <summary>Never.</summary>
    No,

    /// <summary>At an interval of steps.</summary>
    Steps,

    /// <summary>At the end of each epoch.</summary>
    Epoch,

    /// <summary>Whenever an evaluation is the best so far; for saving only.</summary>
    Best,
}

/// <summary>Type of the frozen weights and of the computation. Trained LoRA and prefix weights, and the master copies
/// of other trained weights, are always float32.</summary>
public enum Precision
{
    /// <summary>bfloat16 on a GPU, float32 on a CPU.</summary>
    Auto,

    /// <summary>float32.</summary>
    Float32,

    /// <summary>bfloat16.</summary>
    BFloat16,
}

/// <summary>How frozen weights of linear layers are stored below an adapter.</summary>
public enum BaseQuantization
{
    /// <summary>In the type of the computation, or in fp8 (<see cref="TrainingOptions.Fp8Base"/>).</summary>
    None,

    /// <summary>4-bit NormalFloat in blocks of 64 with double quantization, as in QLoRA (arXiv:2305.14314).</summary>
    Nf4,

    /// <summary>8-bit integers with one scale for each row.</summary>
    Int8,
}

/// <summary>Whether a layer's activations are recomputed in the backward pass instead of being kept.</summary>
public enum RecomputeMode
{
    /// <summary>Recompute if memory requires it.</summary>
    Auto,

    /// <summary>Keep all activations.</summary>
    None,

    /// <summary>Recompute cheap parts of every layer: outputs of norms and of SwiGLU.</summary>
    Selective,

    /// <summary>Recompute every layer.</summary>
    All,
}
