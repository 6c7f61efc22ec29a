using System.Collections.Concurrent;
using GlmTune.Collectives;
using GlmTune.Data.Tokenization;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>A folder with a very small model, and runs on it with the shipped tokenizer and data, on one rank or
/// several threads.</summary>
internal sealed class TinyRun : IDisposable
{
    private readonly string root;

    public TinyRun()
        : this(Directory.CreateTempSubdirectory("glmtune-run-").FullName) { }

    /// <param name="root">A new folder, which it deletes at its end.</param>
    public TinyRun(string root)
    {
        this.root = root;
        NativeRuntime.Load();
        var nano = Path.Combine(Repository, "models", "glm-nano");
        Directory.CreateDirectory(Model);
        TokenizerFile.Copy(nano, Model);
        var config = ModelConfig.Read(nano) with
        {
            LayerCount = 2,
            HiddenSize = 32,
            FeedForwardSize = 48,
            QueryHeads = 4,
            KeyValueHeads = 2,
            HeadDim = 8,
        };
        using var model = config.NewModel(ScalarType.Float32, CPU);
        model.InitializeRandomly(5);
        ModelFolder.Save(model, Model, CheckpointLayout.Original, ScalarType.Float32);
    }

    public static string Repository => Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));

    public static string Data => Path.Combine(Repository, "data", "ads");

    public string Model => At("model");

    public string At(params string[] names) => Path.Combine([root, .. names]);

    public string Checkpoint(string name, int step, string file = "") => At(name, $"checkpoint-{step}", file);

    public void Dispose() => Directory.Delete(root, recursive: true);

    /// <summary>A recipe: two rows a micro-batch, full training unless settings name an adapter, and what the settings
    /// replace.</summary>
    /// <param name="name">The output folder's.</param>
    /// <param name="stage">ZeRO's stage; null: no DeepSpeed file.</param>
    /// <param name="settings">As the command line's --set has them.</param>
    public Recipe Recipe(string name, int? stage, params string[] settings)
    {
        var yaml = At($"{name}.yaml");
        File.WriteAllText(
            yaml,
            $$"""
            data_config: { train_file: train.jsonl }
            max_input_length: 48
            max_output_length: 48
            training_args:
              output_dir: {{At(name)}}
              max_steps: 4
              learning_rate: 5e-3
              per_device_train_batch_size: 2
              logging_steps: 1
              save_steps: 100
              use_cpu: true
            {{(
                stage is null
                    ? ""
                    : $"  deepspeed: {{ zero_optimization: {{ stage: {stage}, stage3_gather_16bit_weights_on_model_save: true }} }}"
            )}}
            """
        );
        return RecipeFile.Read(yaml, settings);
    }

    /// <summary>Trains on so many threads.</summary>
    /// <returns>What rank 0 reported.</returns>
    public RunReport Train(
        Recipe recipe,
        int ranks = 1,
        string? resume = null,
        Action<int, StepReport>? stepped = null,
        Func<int, CancellationToken>? stop = null,
        string? data = null,
        Action<string>? noted = null,
        Action<string>? saved = null,
        RunConditions? conditions = null
    )
    {
        data ??= Data;
        var report = new RunReport { Noted = noted, SavedTo = saved };
        CancellationToken Stop(int rank) => stop?.Invoke(rank) ?? default;
        if (ranks == 1)
        {
            report.Results[0] = FineTune.Run(
                recipe,
                data,
                Model,
                resume,
                report.Of(0, stepped),
                Stop(0),
                conditions: conditions
            );
            return report;
        }

        InProcess.Run(
            ranks,
            each =>
                report.Results[each.Rank] = FineTune.Run(
                    recipe,
                    data,
                    Model,
                    resume,
                    report.Of(each.Rank, stepped),
                    Stop(each.Rank),
                    each,
                    conditions
                ),
            new CollectivesOptions { Timeout = TimeSpan.FromSeconds(60) }
        );
        return report;
    }
}

/// <summary>What a run said, and by which ranks.</summary>
internal sealed class RunReport
{
    public List<double> Losses { get; } = [];

    public List<string> Notes { get; } = [];

    public List<string> Saved { get; } = [];

    /// <summary>Called with each note as it comes.</summary>
    public Action<string>? Noted { get; init; }

    /// <summary>Called with each saved checkpoint as it comes.</summary>
    public Action<string>? SavedTo { get; init; }

    public List<(long Step, IReadOnlyDictionary<string, double> Values)> Evaluations { get; } = [];

    public IReadOnlyDictionary<string, double>? Test { get; private set; }

    public FineTuneStart? Start { get; private set; }

    public StepReport? Last { get; private set; }

    public ConcurrentDictionary<int, FineTuneResult> Results { get; } = [];

    public ConcurrentDictionary<int, bool> Speakers { get; } = [];

    public IFineTuneReporter Of(int rank, Action<int, StepReport>? stepped) => new Reporter(this, rank, stepped);

    private sealed class Reporter(RunReport all, int rank, Action<int, StepReport>? stepped) : IFineTuneReporter
    {
        public void Stepped(StepReport report)
        {
            all.Last = report;
            Say(() => all.Losses.Add(report.Loss));
            stepped?.Invoke(rank, report);
        }

        public void Note(string text)
        {
            Say(() => all.Notes.Add(text));
            all.Noted?.Invoke(text);
        }

        public void Started(FineTuneStart start) => Say(() => all.Start = start);

        public void Logged(long atStep, IReadOnlyDictionary<string, double> values) => Say(() => { });

        public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) =>
            Say(() => all.Evaluations.Add((atStep, values)));

        public void Tested(IReadOnlyDictionary<string, double> values) => Say(() => all.Test = values);

        public void Saved(string folder)
        {
            Say(() => all.Saved.Add(folder));
            all.SavedTo?.Invoke(folder);
        }

        private void Say(Action what)
        {
            all.Speakers[rank] = true;
            what();
        }
    }
}
