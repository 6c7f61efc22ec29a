using GlmTune.Data.Batching;
using GlmTune.Inference;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Configuration;
using GlmTune.Training;
using GlmTune.Training.Optimization;

namespace GlmTune.Recipes;

/// <summary>Everything that a fine-tuning run is told: the options of each part, as one YAML file gives them.</summary>
/// <remarks>Immutable. At most one of <see cref="Lora"/> and <see cref="Prefix"/> is set; neither means that all
/// weights are trained.</remarks>
public sealed record Recipe
{
    /// <summary>Which conversations, and how they become tokens.</summary>
    public required DataOptions Data { get; init; }

    /// <summary>Sizes, length, logging, evaluation and saving.</summary>
    public TrainingOptions Training { get; init; } = new();

    /// <summary>AdamW and clipping.</summary>
    public OptimizerOptions Optimizer { get; init; } = new();

    /// <summary>The learning rate over the steps.</summary>
    public ScheduleOptions Schedule { get; init; } = new();

    /// <summary>How evaluation generates; lies over the token ids of the model's own generation
    /// configuration.</summary>
    public GenerationOptions Generation { get; init; } = new();

    /// <summary>The low-rank adapter, if that is what is trained.</summary>
    public LoraOptions? Lora { get; init; }

    /// <summary>The prefix adapter, if that is what is trained.</summary>
    public PrefixTuningOptions? Prefix { get; init; }

    /// <summary>What says how training is sharded, if anything does.</summary>
    public DeepSpeedFile? DeepSpeed { get; init; }

    /// <summary>The checkpoint to resume from, as the command line's argument has it; null starts from
    /// scratch.</summary>
    public string? ResumeFrom { get; init; }

    /// <summary>What somebody should know though it is no error: keys without effect and the like, with file and
    /// line.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Whether the recipe asks for float16 only where it can be bfloat16 (<c>fp16: auto</c>).</summary>
    internal bool TakesBFloat16ForHalf { get; init; }

    /// <summary>Full names of the keys to which the file or an override gives a value.</summary>
    internal IReadOnlySet<string> Written { get; init; } = new HashSet<string>();

    /// <summary>How the training rows are put together into steps.</summary>
    public BatchOptions Batches =>
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

    /// <summary>What each rank does: the recipe with everything that its DeepSpeed file says, every <c>auto</c>
    /// resolved.</summary>
    /// <param name="hiddenSize">Width of the model's hidden states.</param>
    /// <param name="worldSize">Number of ranks; at least 1.</param>
    /// <exception cref="InvalidDataException">The DeepSpeed file contradicts this recipe or these sizes.</exception>
    public DeepSpeedPlan Plan(int hiddenSize, int worldSize) =>
        DeepSpeed is null ? new DeepSpeedPlan(this, new(), []) : DeepSpeed.Resolve(this, hiddenSize, worldSize);
}
