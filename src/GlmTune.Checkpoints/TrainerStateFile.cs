using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;

namespace GlmTune.Checkpoints;

/// <summary><c>trainer_state.json</c>, with the fields that Hugging Face's trainer writes and plotting tools
/// read.</summary>
internal sealed class TrainerStateFile
{
    /// <summary>The file's name in a checkpoint.</summary>
    public const string FileName = "trainer_state.json";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Log entries so far, oldest first, each with its step.</summary>
    public JsonArray History { get; private init; } = [];

    /// <summary>Finished steps.</summary>
    public long GlobalStep { get; set; }

    /// <summary>Steps of the whole run as recorded in the file; 0 if it does not say.</summary>
    public long TotalSteps { get; private init; }

    /// <summary>Passes over the data so far.</summary>
    public double Epoch { get; set; }

    /// <summary>Best value of the watched metric.</summary>
    public double? BestMetric { get; set; }

    /// <summary>Path of the checkpoint with the best value.</summary>
    public string? BestCheckpoint { get; set; }

    /// <summary>Step with the best value.</summary>
    public long? BestStep { get; set; }

    /// <summary>Tokens processed so far.</summary>
    public long TokensSeen { get; set; }

    /// <summary>Reads the file of a checkpoint; returns a new state if there is none.</summary>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public static TrainerStateFile Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return new TrainerStateFile();
        }

        return Parse(RegularFile.ReadBytes(path), path);
    }

    /// <summary>Parses the bytes of a file.</summary>
    /// <param name="utf8">The bytes.</param>
    /// <param name="name">What errors call it, such as its path.</param>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static TrainerStateFile Parse(byte[] utf8, string name)
    {
        var json = JsonObject.Create(PythonJson.Parse(utf8, name, JsonValueKind.Object))!;
        try
        {
            return new TrainerStateFile
            {
                History = (json["log_history"] as JsonArray)?.DeepClone().AsArray() ?? [],
                GlobalStep = json["global_step"]!.GetValue<long>(),
                TotalSteps = (long)(json["max_steps"]?.GetValue<double>() ?? 0),
                Epoch = json["epoch"]?.GetValue<double>() ?? 0,
                BestMetric = json["best_metric"]?.GetValue<double>(),
                BestCheckpoint = json["best_model_checkpoint"]?.GetValue<string>(),
                BestStep = json["best_global_step"]?.GetValue<long>(),
                TokensSeen = (long)(json["num_input_tokens_seen"]?.GetValue<double>() ?? 0),
            };
        }
        catch (Exception error) when (error is InvalidOperationException or NullReferenceException or FormatException)
        {
            throw new InvalidDataException(
                $"{name}: is not a trainer state; expected an object with the number 'global_step', as training "
                    + "writes it.",
                error
            );
        }
    }

    /// <summary>Adds a log entry.</summary>
    public void Log(long step, double epoch, IEnumerable<KeyValuePair<string, double>> values)
    {
        var line = new JsonObject { ["epoch"] = Math.Round(epoch, 4) };
        foreach (var (name, value) in values)
        {
            line[name] = double.IsFinite(value) ? value : null;
        }

        line["step"] = step;
        History.Add(line);
    }

    /// <summary>Writes the file.</summary>
    public void Write(string folder, TrainerStateSettings settings) => Write(folder, Text(settings));

    /// <summary>Writes the file with the content that <see cref="Text"/> gave earlier.</summary>
    public static void Write(string folder, string text) => AtomicFile.WriteText(Path.Combine(folder, FileName), text);

    /// <summary>The content of the file as of now.</summary>
    public string Text(TrainerStateSettings settings)
    {
        var json = new JsonObject
        {
            ["best_global_step"] = BestStep,
            ["best_metric"] = BestMetric,
            ["best_model_checkpoint"] = BestCheckpoint,
            ["epoch"] = Epoch,
            ["eval_steps"] = settings.EvaluationSteps,
            ["global_step"] = GlobalStep,
            ["is_hyper_param_search"] = false,
            ["is_local_process_zero"] = true,
            ["is_world_process_zero"] = true,
            ["log_history"] = History.DeepClone(),
            ["logging_steps"] = settings.LoggingSteps,
            ["max_steps"] = settings.MaxSteps,
            ["num_input_tokens_seen"] = TokensSeen,
            ["num_train_epochs"] = settings.Epochs,
            ["save_steps"] = settings.SaveSteps,
            ["stateful_callbacks"] = new JsonObject(),
            ["total_flos"] = 0.0,
            ["train_batch_size"] = settings.MicroBatchSize,
            ["trial_name"] = null,
            ["trial_params"] = null,
        };
        return json.ToJsonString(Indented) + "\n";
    }
}
