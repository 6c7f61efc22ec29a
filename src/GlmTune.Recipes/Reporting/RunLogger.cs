using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using GlmTune.Evaluation;
using GlmTune.Kernels;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Adapters;
using GlmTune.Runs;
using GlmTune.Runs.TensorBoard;
using GlmTune.Training;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Reporting;

/// <summary>Records a run in its output folder, for the training page and other tools: <c>run.json</c>,
/// <c>log.jsonl</c>, TensorBoard event files, and plots at the end.</summary>
/// <remarks>If the log cannot be written, the run continues without it.</remarks>
internal sealed class RunLogger : IFineTuneReporter, IDisposable
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromSeconds(5);
    private static readonly JsonSerializerOptions RecipeFormat = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower), new TargetsAsText() },
    };

    private readonly Recipe recipe;
    private readonly string model;
    private readonly string data;
    private readonly IFineTuneReporter inner;
    private readonly IReadOnlyList<string> command;
    private readonly List<string> earlyNotes = [];
    private string? folder;
    private Device device = CPU;
    private RunLog? log;
    private EventFile? events;
    private long step;
    private long lastProgress;
    private (double Seconds, long Tokens) sinceLogged;
    private long mostInUse; // As of the ends of steps: libtorch keeps what a step reserved.
    private IReadOnlyDictionary<string, double> lastStep = new Dictionary<string, double>();

    private RunLogger(
        Recipe recipe,
        string model,
        string data,
        IFineTuneReporter inner,
        IReadOnlyList<string> command
    ) => (this.recipe, this.model, this.data, this.inner, this.command) = (recipe, model, data, inner, command);

    /// <summary>Runs and records a fine-tuning. With several ranks, only rank 0 records.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="model">The base model, as the user named it.</param>
    /// <param name="data">The data folder, as the user named it.</param>
    /// <param name="inner">Also receives all events.</param>
    /// <param name="run">The run; it reports to the reporter that it is given.</param>
    /// <param name="command">The command that started it, without the checkpoint to resume from; null: it was started
    /// from code.</param>
    public static FineTuneResult Of(
        Recipe recipe,
        string model,
        string data,
        IFineTuneReporter inner,
        Func<IFineTuneReporter, FineTuneResult> run,
        IReadOnlyList<string>? command = null
    )
    {
        using var logger = new RunLogger(recipe, model, data, inner, command ?? []);
        try
        {
            var result = run(logger);
            logger.End(result.Stopped ? RunState.Stopped : RunState.Finished, null);
            return result;
        }
        catch (Exception error)
        {
            logger.End(RunState.Failed, error.Message);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Note(string text)
    {
        inner.Note(text);
        if (log is null)
        {
            earlyNotes.Add(text);
        }

        Write(() => log?.Note(text));
    }

    /// <inheritdoc/>
    public void Started(FineTuneStart start)
    {
        inner.Started(start);
        var options = (start.Recipe ?? recipe).Training;
        folder = Path.GetFullPath(options.OutputFolder);
        step = start.DoneSteps;
        device = start.Device == "cpu" ? CPU : new Device(start.Device);
        Write(() =>
        {
            log = RunLog.Open(folder, start.DoneSteps, start.TotalSteps);
            Description(start).Write(folder);
            earlyNotes.ForEach(log.Note);
            if (options.TensorBoard)
            {
                events = EventFile.Create(
                    options.TensorBoardFolder
                        ?? Path.Combine(
                            folder,
                            "runs",
                            DateTime.Now.ToString("MMMdd_HH-mm-ss", CultureInfo.InvariantCulture)
                                + $"_{Environment.MachineName}"
                        )
                );
            }
        });
    }

    /// <inheritdoc/>
    public void Stepped(StepReport report)
    {
        inner.Stepped(report);
        step = report.Step;
        var seconds = report.Elapsed.TotalSeconds;
        sinceLogged = (sinceLogged.Seconds + seconds, sinceLogged.Tokens + report.Tokens);
        var inUse = MemoryInUse();
        var values = new Dictionary<string, double>
        {
            ["loss"] = report.Loss,
            ["grad_norm"] = report.GradientNorm,
            ["learning_rate"] = report.LearningRate,
            ["epoch"] = report.Epoch,
            ["tokens"] = report.Tokens,
            ["supervised_tokens"] = report.SupervisedTokens,
            ["seconds"] = seconds,
            ["tokens_per_second"] = report.Tokens / seconds,
            ["memory_gib"] = Gibibytes(inUse),
            ["peak_memory_gib"] = Gibibytes(mostInUse),
        };
        foreach (var (name, value) in report.Memory?.Values(inUse) ?? [])
        {
            values[name] = value;
        }

        if (MatmulSpeed.Of(device) is > 0 and var matmul)
        {
            values["matmul_share"] = report.Flops / seconds / 1e12 / matmul;
        }

        lastStep = values;
        Write(() => log?.Step(report.Step, values));
    }

    /// <inheritdoc/>
    public void Rewound(long atStep)
    {
        inner.Rewound(atStep);
        step = atStep;
        Write(() => log?.Restart(atStep));
    }

    /// <inheritdoc/>
    public void Logged(long atStep, IReadOnlyDictionary<string, double> values)
    {
        inner.Logged(atStep, values);
        Scalars(
            atStep,
            [
                .. values.Where(value => !IsOfDevice(value.Key)),
                KeyValuePair.Create("tokens_per_second", sinceLogged.Tokens / sinceLogged.Seconds),
                .. lastStep.Where(value => IsOfDevice(value.Key)),
            ]
        );
        sinceLogged = default;
    }

    /// <inheritdoc/>
    public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values)
    {
        inner.Evaluated(atStep, values);
        Write(() => log?.Evaluation(atStep, values));
        Scalars(atStep, values);
    }

    /// <inheritdoc/>
    public void Evaluating(EvaluationProgress progress)
    {
        inner.Evaluating(progress);
        if (System.Diagnostics.Stopwatch.GetElapsedTime(lastProgress) > ProgressInterval)
        {
            lastProgress = System.Diagnostics.Stopwatch.GetTimestamp();
            Write(() => log?.Progress(progress.Done, progress.Total));
        }
    }

    /// <inheritdoc/>
    public void Answered(long atStep, IReadOnlyList<EvaluatedAnswer> samples)
    {
        inner.Answered(atStep, samples);
        if (samples.Count > 0)
        {
            Write(() =>
                log?.Answers(
                    atStep,
                    samples.Select(sample => new RunAnswer(
                        sample.Example.Line,
                        sample.Prompt,
                        sample.Prediction,
                        sample.Label
                    ))
                )
            );
        }
    }

    /// <inheritdoc/>
    public void Tested(IReadOnlyDictionary<string, double> values)
    {
        inner.Tested(values);
        Write(() => log?.Test(step, values));
        Scalars(
            step,
            [
                .. values.Select(value =>
                    KeyValuePair.Create(
                        "test_"
                            + (
                                value.Key.StartsWith("eval_", StringComparison.Ordinal)
                                    ? value.Key["eval_".Length..]
                                    : value.Key
                            ),
                        value.Value
                    )
                ),
            ]
        );
    }

    /// <inheritdoc/>
    public void Saved(string folder)
    {
        inner.Saved(folder);
        Write(() => log?.Saved(folder));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        log?.Dispose();
        events?.Dispose();
    }

    private void End(RunState state, string? error)
    {
        if (log is null || folder is null)
        {
            return; // it never started, or its disk is full
        }

        Write(() =>
        {
            log.End(state, error);
            var history = new RunHistory();
            for (RunLogPart? part = null; part is null || part.HasMore;)
            {
                part = RunLogReader.Read(Path.Combine(folder, RunLog.FileName), part?.Next ?? 0);
                foreach (var line in part.Lines)
                {
                    history.Add(line);
                }
            }

            RunPlots.Write(folder, history);
        });
    }

    // Hugging Face's trainer uses these tags.
    private void Scalars(long atStep, IReadOnlyCollection<KeyValuePair<string, double>> values) =>
        Write(() =>
            events?.Scalars(
                atStep,
                values
                    .Where(value => double.IsFinite(value.Value))
                    .Select(value =>
                        KeyValuePair.Create(
                            value.Key.StartsWith("eval_", StringComparison.Ordinal) ? "eval/" + value.Key[5..]
                                : value.Key.StartsWith("test_", StringComparison.Ordinal) ? "test/" + value.Key[5..]
                                : "train/" + value.Key,
                            value.Value
                        )
                    )
            )
        );

    // Plots need a native library, which may be missing even where training works.
    private void Write(Action write)
    {
        try
        {
            write();
        }
        catch (Exception error)
            when (error
                    is IOException
                        or UnauthorizedAccessException
                        or DllNotFoundException
                        or TypeInitializationException
            )
        {
            Dispose();
            (log, events) = (null, null);
            inner.Note($"{folder}: the run continues, but is no longer logged: {error.Message}");
        }
    }

    // Of the whole device; on a CPU, of this process.
    private long MemoryInUse()
    {
        var now = DeviceMemory.Of(device) is { } memory ? memory.Total - memory.Free : Environment.WorkingSet;
        mostInUse = Math.Max(mostInUse, now);
        return now;
    }

    private static double Gibibytes(long bytes) => bytes / (double)(1 << 30);

    private static bool IsOfDevice(string name) =>
        name == "matmul_share" || name.EndsWith("_gib", StringComparison.Ordinal);

    private RunDescription Description(FineTuneStart start) =>
        new()
        {
            Started =
                (start.DoneSteps > 0 ? RunDescription.ReadOrNull(folder!)?.Started : null) ?? DateTimeOffset.UtcNow,
            Model = model,
            Data = data,
            Settings = recipe.Settings,
            Command = command,
            Recipe = Options(start.Recipe ?? recipe),
            Versions = new Dictionary<string, string>
            {
                ["glmtune"] = typeof(RunLogger).Assembly.GetName().Version?.ToString(3) ?? "",
                ["dotnet"] = Environment.Version.ToString(),
                ["torch"] = __version__,
                ["system"] = RuntimeInformation.OSDescription,
            },
            Device = start.Device,
            Type = start.Type.ToLowerInvariant(),
            WorldSize = start.WorldSize,
            Rows = start.Examples,
            TotalSteps = start.TotalSteps,
            TrainedParameters = start.TrainedParameters,
            AllParameters = start.AllParameters,
        };

    private static JsonObject Options(Recipe recipe)
    {
        var options = new JsonObject
        {
            ["data"] = JsonSerializer.SerializeToNode(recipe.Data, RecipeFormat),
            ["training"] = JsonSerializer.SerializeToNode(recipe.Training, RecipeFormat),
            ["optimizer"] = JsonSerializer.SerializeToNode(recipe.Optimizer, RecipeFormat),
            ["schedule"] = JsonSerializer.SerializeToNode(recipe.Schedule, RecipeFormat),
            ["generation"] = JsonSerializer.SerializeToNode(recipe.Generation, RecipeFormat),
        };
        if (recipe.Lora is { } lora)
        {
            options["lora"] = JsonSerializer.SerializeToNode(lora, RecipeFormat);
        }

        if (recipe.Prefix is { } prefix)
        {
            options["prefix"] = JsonSerializer.SerializeToNode(prefix, RecipeFormat);
        }

        if (recipe.DeepSpeed is { } file)
        {
            options["deepspeed"] = file.Source;
        }

        return options;
    }

    private sealed class TargetsAsText : JsonConverter<LoraTargets>
    {
        public override LoraTargets Read(
            ref Utf8JsonReader reader,
            Type typeToConvert,
            JsonSerializerOptions options
        ) => LoraTargets.FromText(reader.GetString()!);

        public override void Write(Utf8JsonWriter writer, LoraTargets value, JsonSerializerOptions options) =>
            writer.WriteStringValue(value.ToString());
    }
}
