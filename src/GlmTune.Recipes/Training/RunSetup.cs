using GlmTune.Checkpoints;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Evaluating;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Planning;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sentinel;
using GlmTune.Training.SequenceParallel;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>The parts of a fine-tuning run, created on every rank in an order that finds cheap problems
/// first.</summary>
internal sealed class RunSetup
{
    private readonly RunResume resuming;

    /// <summary>Prepares a run for its next step: the first one, or the one after a checkpoint.</summary>
    /// <param name="given">The recipe.</param>
    /// <param name="dataFolder">Folder with the files that the recipe names.</param>
    /// <param name="model">Model folder, or Hub id of a downloaded model.</param>
    /// <param name="resume">The checkpoint to resume from; null: as the recipe says.</param>
    /// <param name="listener">Receives notes, on rank 0.</param>
    /// <param name="collectives">The ranks.</param>
    /// <param name="owned">Receives the model and everything created for it, for disposal.</param>
    /// <param name="stop">Cancels reading rows.</param>
    /// <param name="conditions">What tests set; null: nothing.</param>
    /// <exception cref="InvalidDataException">A file is missing, damaged or inconsistent. Nothing was
    /// changed.</exception>
    /// <exception cref="OperationCanceledException">A rank was asked to stop before training started; thrown on all
    /// ranks.</exception>
    public RunSetup(
        Recipe given,
        string dataFolder,
        string model,
        string? resume,
        IFineTuneReporter listener,
        ICollectives collectives,
        RankResources owned,
        CancellationToken stop,
        RunConditions? conditions = null
    )
    {
        Ranks = new RunRanks(collectives);
        Reporter = new RankReporter(Ranks, listener);
        Search = new CheckpointSearch(Ranks, Reporter.Note);
        var candidate = Ranks.FromFirst(() =>
            SlurmRestart.Current.Resume(given.Training.OutputFolder, resume ?? given.ResumeFrom, Reporter.Note)
                is { } found
                ? [found]
                : []
        );
        resume = candidate.Count == 0 ? null : candidate[0];
        var inputs = RunInputs.Read(given, dataFolder, model, resume, Ranks, Reporter, owned, stop);
        (var plan, Data, Evaluation) = (inputs.Plan, inputs.Data, inputs.Evaluation);
        Recipe = plan.Recipe;
        Note(Recipe.Notes);
        Note(plan.Settings.Count == 0 ? [] : [$"{Recipe.DeepSpeed!.Source}:\n  {string.Join("\n  ", plan.Settings)}"]);
        Note([.. Data.Notes, .. Evaluation.Notes]);
        var checkpoint = Search.Find(Recipe.Training.OutputFolder, resume);
        Base = FindBase(inputs.ModelFolder, checkpoint);

        plan = FitMemory(plan, inputs.Config, collectives);
        inputs = inputs with { Plan = plan };
        Recipe = plan.Recipe;

        Ranks.RunOnAllOrFail(() => MatmulSpeed.Of(collectives.Device)); // before the weights take the memory
        var slices =
            plan.Sharding.Stage == 3 && !TrainedWeights.BeginFromWeights(Recipe)
                ? owned.Own(new WeightSlices(plan.Sharding, collectives))
                : null;
        var weights = WeightsOf(checkpoint) ?? inputs.ModelFolder;
        if (weights != checkpoint)
        {
            Search.VerifyModel(weights);
        }

        Model = Ranks.RunOnAllOrFail(() =>
            owned.Own(
                ModelFolder.Load(
                    weights,
                    ComputingType(collectives.Device),
                    collectives.Device,
                    loaded: slices is null ? unit => FrozenBase.MoveToHostIfAsked(unit, Recipe.Training) : slices.Take,
                    quantization: Recipe.Training.FrozenType is { } type ? new Quantization(type, Backward: true) : null
                )
            )
        );
        Trained = Ranks.RunOnAllOrFail(() =>
            owned.Own(TrainedWeights.Prepare(Model, Recipe, checkpoint, () => Data.PrefixText(Recipe)))
        );
        Ranks.RunOnAllOrFail(() => FrozenBase.Check(Model, Recipe.Training));
        Sharding = owned.Own(DataParallel.For(plan.Sharding, Model, collectives, slices));
        Recipe = Recipe with
        {
            Training = Recipe.Training with
            {
                Packing = Recipe.Training.Packing ?? collectives.Device.type == DeviceType.CUDA,
            },
        };
        // Ranks that share a micro-batch use the same rows, as a single rank would; each group has its own.
        var shared = Recipe.Training.SequenceParallelSize > 1;
        var dataRanks = Ranks.Count / Recipe.Training.SequenceParallelSize;
        Ranks.RunOnAllOrFail(() => RecipeChecks.CheckRows(Recipe, Data.Examples.Count));
        Batches = new TrainingBatches(
            Data.Examples,
            Recipe.Batches,
            Data.Tokenizer.Special.Padding,
            Ranks.Rank / Recipe.Training.SequenceParallelSize,
            dataRanks
        );
        Note(Recipe.Training.Packing == true ? [Describe(Batches.Packing)] : []);
        resuming = new RunResume(Recipe, Data, Batches, dataRanks, Ranks, Reporter.Note);
        var done = checkpoint is null ? 0 : resuming.Continue(checkpoint, Settings, Sharding, Progress, Evaluation);
        TotalSteps = Recipe.Training.MaxSteps ?? (int)done + Batches.StepsLeft(Recipe.Training.Epochs);
        var recomputed = Recomputed();
        Trainer = owned.Own(
            new Trainer(
                new LayerRunner(Model, Sharding, recomputed.Whole)
                {
                    SelectivelyRecomputed = recomputed.Selective,
                    OffloadedInputs = Recipe.Training.OffloadActivations
                        ? owned.Own(NewOffloadedInputs(collectives.Device))
                        : null,
                },
                Sharding,
                Recipe.Optimizer,
                new LearningRateSchedule(Recipe.Optimizer.LearningRate, Recipe.Schedule, TotalSteps),
                Recipe.Training.Seed,
                Ranks.Rank
            )
            {
                Spikes = new SpikeWatch(Recipe.Training.SpikeFactor, Recipe.Training.SpikeWindow),
                CapturesSmallSteps = Recipe.Training is { CudaGraphs: true, OffloadActivations: false },
                SharedBy = Recipe.Training.SequenceParallelSize,
                MakePass = shared
                    ? batch =>
                        SequenceParallelPass.Of(
                            batch,
                            Model.Config.Heads,
                            collectives,
                            Recipe.Training.SequenceParallelSize
                        )
                    : null,
            }
        );
        Restore(done);
        conditions?.Prepared?.Invoke(Trainer);
        Checkpoints = owned.Own(
            new RunCheckpoints(Recipe, inputs, Base, Model, Trained, Trainer, Ranks, Reporter.Note, conditions)
        );
        if (!Checkpoints.HasWholeWeights)
        {
            Note([
                "checkpoints keep the weights in the ranks' optimizer files; use glmtune checkpoint "
                    + "consolidate to build a model (stage3_gather_16bit_weights_on_model_save: true writes "
                    + "one with each checkpoint)",
            ]);
        }

        Ranks.RunOnAllOrFail(() =>
        {
            if (Ranks.IsFirst)
            {
                inputs.Output.Prepare(checkpoint, Reporter.Note);
            }
        });
        Reporter.Started(
            new FineTuneStart(
                Data.Examples.Count,
                TotalSteps,
                Trainer.Done,
                Recipe.Training.MicroBatchSize,
                Recipe.Training.AccumulationSteps,
                Ranks.Count,
                Trained.Count,
                Model.Parameters.Sum(parameter => parameter.Count),
                collectives.Device.ToString(),
                Model.Type.ToString()
            )
            {
                Recipe = Recipe,
                Computing = ComputeDevice.Describe(collectives.Device, Model.Type),
            }
        );
    }

    /// <summary>The settings in effect, including those of a DeepSpeed file and of the device.</summary>
    public Recipe Recipe { get; }

    /// <summary>The ranks.</summary>
    public RunRanks Ranks { get; }

    /// <summary>Receives the events of the run.</summary>
    public RankReporter Reporter { get; }

    /// <summary>Checks whether checkpoints are intact.</summary>
    public CheckpointSearch Search { get; }

    /// <summary>Fingerprint of the base model, as text; null if a resumed run needs no base and does not know
    /// it.</summary>
    public string? Base { get; }

    /// <summary>What determines how the run continues.</summary>
    public SortedDictionary<string, string> Settings => RunSettings.Of(Recipe, Model.Type, Ranks.Collectives.Device);

    /// <summary>The training rows.</summary>
    public RunData Data { get; }

    /// <summary>The validation and test rows.</summary>
    public EvaluationSchedule Evaluation { get; }

    /// <summary>The model, with what is trained on it.</summary>
    public DecoderModel Model { get; }

    /// <summary>What is trained.</summary>
    public TrainedWeights Trained { get; }

    /// <summary>How parameters are distributed over the ranks.</summary>
    public ISharding Sharding { get; }

    /// <summary>The training rows as steps; positioned at the next step.</summary>
    public TrainingBatches Batches { get; }

    /// <summary>The progress so far.</summary>
    public RunProgress Progress { get; } = new();

    /// <summary>Steps of the whole run.</summary>
    public int TotalSteps { get; }

    /// <summary>Runs the steps.</summary>
    public Trainer Trainer { get; }

    /// <summary>How often the run has gone back to a checkpoint.</summary>
    public int Rewinds { get; private set; }

    /// <summary>Goes back to a checkpoint of this run; all ranks make this call.</summary>
    /// <param name="checkpoint">An intact checkpoint with optimizer state.</param>
    /// <param name="leftOut">Indices of rows to leave out from now on.</param>
    public void Rewind(string checkpoint, IEnumerable<int> leftOut)
    {
        var all = Batches.LeftOut.Concat(leftOut).ToHashSet();
        var done = resuming.Continue(checkpoint, Settings, Sharding, Progress, Evaluation);
        Restore(done);
        Batches.LeftOut = all;
        Rewinds++;
    }

    /// <summary>Writes the checkpoints.</summary>
    public RunCheckpoints Checkpoints { get; }

    /// <summary>What the run was planned to take on a GPU; null: there is none.</summary>
    public MemoryFit? Memory { get; private set; }

    private void Restore(long done)
    {
        var state = resuming.State;
        Trainer.Restore(done, state?.Skipped ?? 0, state?.RecentLosses ?? [], state?.RecentNorms ?? []);
        Rewinds = Math.Max(Rewinds, state?.Rewinds ?? 0);
    }

    // A checkpoint without a complete model has its weights in the optimizer files.
    private string? WeightsOf(string? checkpoint) =>
        checkpoint is not null
        && Recipe.Lora is null
        && Recipe.Prefix is null
        && Ranks.FirstFinds(() => WeightFiles.AreIn(checkpoint) || !OptimizerFile.IsIn(checkpoint))
            ? checkpoint
            : null;

    // An adapter must resume on its own base. A checkpoint of all weights replaces them.
    private string? FindBase(string model, string? checkpoint)
    {
        var isAdapter = Recipe.Lora is not null || Recipe.Prefix is not null;
        var found = Ranks.FromFirst(() =>
        {
            var recorded = checkpoint is null ? null : ModelFingerprint.Parse(TrainingState.Read(checkpoint)?.Base);
            if (!isAdapter && checkpoint is not null)
            {
                return recorded is null ? [] : [recorded.ToString()];
            }

            var now = ModelFingerprint.Of(model);
            recorded ??= checkpoint is null ? null : BaseCheck.Recorded(checkpoint);
            if (recorded is not null && recorded.Weights != now.Weights)
            {
                throw new InvalidDataException(
                    $"{checkpoint}: was trained on another base model than {model}: the shapes are the same, but the "
                        + "weights differ. Resume with the model that it was trained on, or start from scratch in "
                        + "another output_dir."
                );
            }

            if (recorded is not null && recorded.Config != now.Config)
            {
                Reporter.Note(
                    $"{checkpoint}: {model}/{ModelConfig.FileName} has changed since this checkpoint was "
                        + "written; it is used as it is now"
                );
            }

            return [now.ToString()];
        });
        return found.Count == 0 ? null : found[0];
    }

    private ScalarType ComputingType(Device device) =>
        Recipe.Training.Precision switch
        {
            Precision.Float32 => ScalarType.Float32,
            Precision.BFloat16 => ScalarType.BFloat16,
            _ => device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32,
        };

    // A GPU that is too small is found before the weights are read, and what makes the run fit is set where the recipe
    // asks for it. All ranks decide by the one with the least memory.
    private DeepSpeedPlan FitMemory(DeepSpeedPlan plan, ModelConfig config, ICollectives collectives)
    {
        if (DeviceMemory.Of(collectives.Device) is not { } memory)
        {
            return plan;
        }

        const int Mebibyte = 20;
        var available = -(long)Ranks.Max((int)-(memory.Free >> Mebibyte)) << Mebibyte;
        MemoryFit Fit(DeepSpeedPlan with) =>
            MemoryFit.Of(
                MemoryDemand.Of(
                    config,
                    with.Recipe,
                    with.Sharding,
                    Ranks.Count,
                    ComputingType(collectives.Device),
                    Data.Longest
                ),
                available,
                $"{collectives.Device}",
                HostMemory.Total / Math.Min(Ranks.Count, Math.Max(1, cuda.device_count()))
            );
        Memory = Ranks.RunOnAllOrFail(() => Fit(plan));
        if (Recipe.Training.Fit && Memory.Changes.Count > 0)
        {
            foreach (var change in Memory.Changes)
            {
                plan = plan with { Recipe = change.Apply(plan.Recipe), Sharding = change.Apply(plan.Sharding) };
                Reporter.Note($"fit: {change}");
            }

            Memory = Ranks.RunOnAllOrFail(() => Fit(plan));
        }

        Ranks.RunOnAllOrFail(() => Memory.Require(change => $"{change}"));
        Reporter.Note($"{Memory}");
        return plan;
    }

    private static string Describe(PackingReport packing) =>
        string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"rows are packed (packing: false disables this): {packing.Rows} rows in {packing.MicroBatches} "
                + $"micro-batches of up to {packing.Limit} tokens, {100 * packing.Efficiency:F1} % full"
        );

    // Tokens of the largest pass on a rank.
    private long PassTokens =>
        (
            (Recipe.Batches.PackedTokens ?? ((long)Data.Longest * Recipe.Training.MicroBatchSize))
            + Recipe.Training.SequenceParallelSize
            - 1
        ) / Recipe.Training.SequenceParallelSize;

    private OffloadedInputs NewOffloadedInputs(Device device) =>
        new(device, PassTokens * Model.Config.HiddenSize * Model.Type.ElementSize());

    // The same on each rank, although one may have less free memory.
    private RecomputePlan Recomputed()
    {
        var tokens = PassTokens;
        var layers = Model.Config.LayerCount;
        var own = Recipe.Training.Recompute switch
        {
            _ when Recipe.Training.OffloadActivations => new RecomputePlan(layers, 0),
            RecomputeMode.All => new RecomputePlan(layers, 0),
            RecomputeMode.Selective => new RecomputePlan(0, layers),
            RecomputeMode.None => new RecomputePlan(0, 0),
            _ => RecomputePlan.For(Model, tokens, Sharding.PassingBytes),
        };
        var plan = new RecomputePlan(Ranks.Max(own.Whole), Ranks.Max(own.Selective));
        if (plan != new RecomputePlan(0, 0))
        {
            Reporter.Note($"{plan.Describe()} (of {layers}) for passes of up to {tokens} tokens");
        }

        if (plan.Whole == layers)
        {
            // Then memory matters most, and logits would be the largest remaining item.
            Model.Head.ChunkRows = OutputHead.FewChunkRows;
        }

        return plan;
    }

    private void Note(IEnumerable<string> texts)
    {
        foreach (var text in texts)
        {
            Reporter.Note(text);
        }
    }
}
