using GlmTune.Data.Batching;
using GlmTune.Inference;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Configuration;
using GlmTune.Training;
using GlmTune.Training.Optimization;

namespace GlmTune.Recipes;

/// <summary>All options of a fine-tuning run, as a YAML file gives them.</summary>
/// <remarks>Immutable. At most one of <see cref="Lora"/> and <see cref="Prefix"/> is set; if neither is, all weights
/// are trained.</remarks>
public sealed record Recipe
{
    /// <summary>Which data files are read, and how rows are tokenized. Default: <c>train.jsonl</c> alone.</summary>
    public DataOptions Data { get; init; } = new() { TrainFile = "train.jsonl" };

    /// <summary>Batch sizes, length of the run, logging, evaluation and saving.</summary>
    public TrainingOptions Training { get; init; } = new();

    /// <summary>AdamW and gradient clipping.</summary>
    public OptimizerOptions Optimizer { get; init; } = new();

    /// <summary>The learning-rate schedule.</summary>
    public ScheduleOptions Schedule { get; init; } = new();

    /// <summary>How evaluation generates answers; overrides the model's own generation configuration, except for its
    /// token ids.</summary>
    public GenerationOptions Generation { get; init; } = new();

    /// <summary>LoRA options; null if no LoRA adapter is trained.</summary>
    public LoraOptions? Lora { get; init; }

    /// <summary>Prefix options; null if no prefix is trained.</summary>
    public PrefixTuningOptions? Prefix { get; init; }

    /// <summary>How training is sharded; null if it is not.</summary>
    internal DeepSpeedFile? DeepSpeed { get; init; }

    /// <summary>The checkpoint to resume from, in the form of the command line's argument; null: start from
    /// scratch.</summary>
    public string? ResumeFrom { get; init; }

    /// <summary>Notes for the user, such as keys without effect, with file and line.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Whether the recipe requests float16 in a form that allows bfloat16 instead (<c>fp16:
    /// auto</c>).</summary>
    internal bool TakesBFloat16ForHalf { get; init; }

    /// <summary>The honoured keys that the file or an override sets, by full name, with their values as written. Empty
    /// for a recipe made in code.</summary>
    internal IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>Full names of the keys that the file or an override sets.</summary>
    internal IReadOnlySet<string> Written { get; init; } = new HashSet<string>();

    /// <summary>How the training rows are grouped into steps.</summary>
    internal BatchOptions Batches =>
        new()
        {
            Seed = Training.DataSeed ?? Training.Seed,
            RowsPerMicroBatch = Training.MicroBatchSize,
            AccumulationSteps = Training.AccumulationSteps,
            DropLast = Training.DropLast && Training.Packing != true,
            PackedTokens =
                Training.Packing == true
                    ? Training.PackLength ?? Training.MicroBatchSize * Data.Template.MaxTrainingTokens
                    : null,
        };

    /// <summary>The plan for each rank: the recipe combined with its DeepSpeed file, with every <c>auto</c>
    /// resolved.</summary>
    /// <param name="hiddenSize">The model's hidden size.</param>
    /// <param name="worldSize">Number of ranks; at least 1.</param>
    /// <exception cref="InvalidDataException">The DeepSpeed file contradicts this recipe or these sizes.</exception>
    internal DeepSpeedPlan Plan(int hiddenSize, int worldSize)
    {
        var plan = DeepSpeed is null
            ? new DeepSpeedPlan(this, new(), [])
            : DeepSpeed.Resolve(this, hiddenSize, worldSize);
        return plan with { Sharding = StatePlan.Of(plan.Recipe, plan.Sharding, worldSize) };
    }
}
