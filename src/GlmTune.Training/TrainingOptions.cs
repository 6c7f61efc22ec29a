namespace GlmTune.Training;

/// <summary>How a training run goes: sizes, length, and when it logs, evaluates and saves. Names and defaults are those
/// of Hugging Face's training arguments where they have one.</summary>
/// <remarks>Immutable. Values are checked where a recipe is read.</remarks>
public sealed record TrainingOptions
{
    /// <summary>Folder of the checkpoints. Default <c>./output</c>.</summary>
    public string OutputFolder { get; init; } = "./output";

    /// <summary>Whether a run that starts from scratch removes what an earlier run left in the output folder; otherwise
    /// it refuses to start.</summary>
    public bool OverwriteOutputFolder { get; init; }

    /// <summary>Rows a rank feeds forward at once in training; at least 1. Default 8.</summary>
    public int MicroBatchSize { get; init; } = 8;

    /// <summary>Rows a rank feeds forward, or generates for, at once in evaluation; at least 1. Default 8.</summary>
    public int EvaluationBatchSize { get; init; } = 8;

    /// <summary>Micro-batches in a step; at least 1. Default 1.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>Whether the rows of an epoch that do not fill a micro-batch are left out. Packed micro-batches are
    /// always kept.</summary>
    public bool DropLast { get; init; }

    /// <summary>Steps of the whole run; null leaves the length to <see cref="Epochs"/>. Default null.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>Passes over the training rows when <see cref="MaxSteps"/> is null; positive, may be fractional. Default
    /// 3.</summary>
    public double Epochs { get; init; } = 3;

    /// <summary>Seed of initialisation, dropout and, unless <see cref="DataSeed"/> is set, of the order of rows.
    /// Default 42.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Seed of the order of rows; null is <see cref="Seed"/>.</summary>
    public int? DataSeed { get; init; }

    /// <summary>Type of the weights that are not trained, and of the computation. Default
    /// <see cref="Precision.Auto"/>.</summary>
    public Precision Precision { get; init; }

    /// <summary>Whether the frozen weights of the decoder layers' linear layers are held and multiplied in fp8. Default
    /// false.</summary>
    public bool Fp8Base { get; init; }

    /// <summary>Whether the embedding's table, frozen, lies in the host's memory. Default false.</summary>
    public bool OffloadEmbedding { get; init; }

    /// <summary>Whether activations are recomputed in the backward pass. Default
    /// <see cref="RecomputeMode.Auto"/>.</summary>
    public RecomputeMode Recompute { get; init; }

    /// <summary>Whether rows are joined to sequences of up to <see cref="PackLength"/> tokens, none seeing its
    /// neighbour. A micro-batch is then one such sequence. Null: on a GPU. Default null.</summary>
    public bool? Packing { get; init; }

    /// <summary>Most tokens of a packed sequence; null is <see cref="MicroBatchSize"/> × the longest that a row may
    /// be.</summary>
    public int? PackLength { get; init; }

    /// <summary>Whether small steps on a GPU are captured as CUDA graphs. Default true.</summary>
    public bool CudaGraphs { get; init; } = true;

    /// <summary>Ranks that share the tokens of each micro-batch: 1, or all of a run. Default 1.</summary>
    public int SequenceParallelSize { get; init; } = 1;

    /// <summary>Whether it runs on the CPU though a GPU works. Default false.</summary>
    public bool UseCpu { get; init; }

    /// <summary>When it logs. Default by steps.</summary>
    public IntervalStrategy LoggingStrategy { get; init; } = IntervalStrategy.Steps;

    /// <summary>Interval of logging. Default 500.</summary>
    public StepInterval LoggingSteps { get; init; } = 500;

    /// <summary>Whether the first step is logged too. Default false.</summary>
    public bool LoggingFirstStep { get; init; }

    /// <summary>Whether TensorBoard event files are written. Default true.</summary>
    public bool TensorBoard { get; init; } = true;

    /// <summary>Folder of the event files; null is a new one in the output folder's <c>runs</c>, named for time and
    /// machine.</summary>
    public string? TensorBoardFolder { get; init; }

    /// <summary>When it evaluates. Default never.</summary>
    public IntervalStrategy EvaluationStrategy { get; init; } = IntervalStrategy.No;

    /// <summary>Interval of evaluation; null is <see cref="LoggingSteps"/>.</summary>
    public StepInterval? EvaluationSteps { get; init; }

    /// <summary>Steps (or epochs, with that strategy) before the first evaluation. Default 0.</summary>
    public double EvaluationDelay { get; init; }

    /// <summary>Whether it evaluates once before the first step. Default false.</summary>
    public bool EvaluationOnStart { get; init; }

    /// <summary>Whether evaluation generates answers and scores them, beside the loss. Default false.</summary>
    public bool PredictWithGenerate { get; init; }

    /// <summary>When it saves. Default by steps.</summary>
    public IntervalStrategy SaveStrategy { get; init; } = IntervalStrategy.Steps;

    /// <summary>Interval of saving. Default 500.</summary>
    public StepInterval SaveSteps { get; init; } = 500;

    /// <summary>Checkpoints that are kept, the newest and the best among them; null keeps all.</summary>
    public int? SaveTotalLimit { get; init; }

    /// <summary>Whether checkpoints leave out what only a resumed run needs. Default false.</summary>
    public bool SaveOnlyModel { get; init; }

    /// <summary>Whether the weights of the best evaluation are loaded at the end. Default false.</summary>
    public bool LoadBestModelAtEnd { get; init; }

    /// <summary>Metric that says what is best, with or without the prefix <c>eval_</c>; null is <c>loss</c> where one
    /// is needed.</summary>
    public string? MetricForBestModel { get; init; }

    /// <summary>Whether more of the metric is better; null: unless its name ends with <c>loss</c> or is
    /// <c>perplexity</c>.</summary>
    public bool? GreaterIsBetter { get; init; }

    /// <summary>Evaluations without a better metric after which the run stops; null never stops early.</summary>
    public int? EarlyStoppingPatience { get; init; }

    /// <summary>How much better the metric must be to count; not negative. Default 0.</summary>
    public double EarlyStoppingThreshold { get; init; }

    /// <summary>How long a rank waits for the others before it gives up (<c>ddp_timeout</c>). Default 30
    /// minutes.</summary>
    public TimeSpan CollectiveTimeout { get; init; } = TimeSpan.FromMinutes(30);
}

/// <summary>When something happens during training.</summary>
public enum IntervalStrategy
{
    /// <summary>Never.</summary>
    No,

    /// <summary>Every so many steps.</summary>
    Steps,

    /// <summary>At the end of each epoch.</summary>
    Epoch,

    /// <summary>Whenever an evaluation is the best so far; for saving only.</summary>
    Best,
}

/// <summary>Type of the weights that are not trained, and of the computation. Trained LoRA and prefix weights, and the
/// master copies of others, are float32 always.</summary>
public enum Precision
{
    /// <summary>bfloat16 on a GPU, float32 on a CPU.</summary>
    Auto,

    /// <summary>float32.</summary>
    Float32,

    /// <summary>bfloat16.</summary>
    BFloat16,
}

/// <summary>Whether the activations of a layer are recomputed in the backward pass, not kept.</summary>
public enum RecomputeMode
{
    /// <summary>Recompute where memory needs it.</summary>
    Auto,

    /// <summary>Keep all activations.</summary>
    None,

    /// <summary>Recompute in every layer what comes cheap: outputs of norms and of SwiGLU.</summary>
    Selective,

    /// <summary>Recompute every layer.</summary>
    All,
}
