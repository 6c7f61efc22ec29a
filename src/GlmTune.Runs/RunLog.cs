using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;

namespace GlmTune.Runs;

/// <summary>Writes <c>log.jsonl</c>, a line for each event of a run as it happens. Lines are only ever
/// appended.</summary>
/// <remarks>Every line has <c>event</c> and <c>time</c>. A line <c>start</c> with <c>step</c> N means that the run
/// resumes after step N: values of earlier lines for later steps are void. Not thread-safe.</remarks>
internal sealed class RunLog : IDisposable
{
    /// <summary>The file's name in the output folder.</summary>
    public const string FileName = "log.jsonl";

    // Keeps Chinese readable; the file is not HTML.
    private static readonly JsonSerializerOptions Format = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
    private readonly DiskFile file;
    private readonly long totalSteps;
    private readonly TimeProvider clock;

    private RunLog(DiskFile file, long totalSteps, TimeProvider clock) =>
        (this.file, this.totalSteps, this.clock) = (file, totalSteps, clock);

    /// <summary>Opens the log of an output folder, which is created if missing, and records the start of the
    /// run.</summary>
    /// <param name="folder">The output folder.</param>
    /// <param name="doneSteps">Steps already done if the run is resumed.</param>
    /// <param name="totalSteps">Steps of the whole run.</param>
    /// <param name="clock">The clock; null: the system's.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static RunLog Open(string folder, long doneSteps, long totalSteps, TimeProvider? clock = null)
    {
        Disk.CreateFolder(folder);
        var file = new DiskFile(
            Path.Combine(folder, FileName),
            FileMode.OpenOrCreate,
            FileAccess.ReadWrite,
            FileShare.Read | FileShare.Delete
        );
        try
        {
            // A line left incomplete by a killed run stays on a line of its own, which readers skip.
            file.Position = Math.Max(0, file.Length - 1);
            var last = file.ReadByte();
            file.Position = file.Length;
            if (last is not (-1 or '\n'))
            {
                file.WriteByte((byte)'\n');
            }

            var log = new RunLog(file, totalSteps, clock ?? TimeProvider.System);
            log.Restart(doneSteps);
            return log;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Records that the run continues after a step: what is recorded of later ones no longer counts.</summary>
    /// <param name="doneSteps">Steps that are done.</param>
    public void Restart(long doneSteps) =>
        Write(
            "start",
            new JsonObject
            {
                ["step"] = doneSteps,
                ["total_steps"] = totalSteps,
                ["host"] = Environment.MachineName,
                ["process"] = Environment.ProcessId,
            }
        );

    /// <summary>Records a finished step.</summary>
    /// <param name="step">Its number, from 1.</param>
    /// <param name="values">Measured values by name; non-finite values are left out.</param>
    public void Step(long step, IEnumerable<KeyValuePair<string, double>> values) =>
        Write("step", Values(step, values));

    /// <summary>Records a finished evaluation.</summary>
    /// <param name="step">Steps done before it.</param>
    /// <param name="values">The scores by name.</param>
    public void Evaluation(long step, IEnumerable<KeyValuePair<string, double>> values) =>
        Write("evaluation", Values(step, values));

    /// <summary>Records the scores of the test file.</summary>
    /// <param name="step">Steps done before it.</param>
    /// <param name="values">The scores by name.</param>
    public void Test(long step, IEnumerable<KeyValuePair<string, double>> values) =>
        Write("test", Values(step, values));

    /// <summary>Records a few answers of an evaluation.</summary>
    public void Answers(long step, IEnumerable<RunAnswer> answers) =>
        Write(
            "answers",
            new JsonObject
            {
                ["step"] = step,
                ["answers"] = new JsonArray([
                    .. answers.Select(answer => new JsonObject
                    {
                        ["line"] = answer.Line,
                        ["prompt"] = answer.Prompt,
                        ["answer"] = answer.Answer,
                        ["expected"] = answer.Expected,
                    }),
                ]),
            }
        );

    /// <summary>Records a note for the user.</summary>
    public void Note(string text) => Write("note", new JsonObject { ["text"] = text });

    /// <summary>Records the progress of an evaluation; also tells readers that the run is alive.</summary>
    public void Progress(int done, int total) =>
        Write("progress", new JsonObject { ["done"] = done, ["total"] = total });

    /// <summary>Records a completed checkpoint.</summary>
    public void Saved(string folder) => Write("saved", new JsonObject { ["folder"] = Path.GetFileName(folder) });

    /// <summary>Records the end of the run.</summary>
    /// <param name="state">How it ended.</param>
    /// <param name="error">The error, if one ended it.</param>
    public void End(RunState state, string? error = null)
    {
        var line = new JsonObject { ["state"] = state.Word() };
        if (error is not null)
        {
            line["error"] = error;
        }

        Write("end", line);
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private static JsonObject Values(long step, IEnumerable<KeyValuePair<string, double>> values)
    {
        var line = new JsonObject { ["step"] = step };
        foreach (var (name, value) in values.Where(pair => double.IsFinite(pair.Value)))
        {
            line[name] = value;
        }

        return line;
    }

    // One write per line, so that readers see whole lines except at the moment of a crash. There is no buffer: a write
    // that a full disk rejected must not fail a second time when the log is closed.
    private void Write(string kind, JsonObject line)
    {
        line.Insert(0, "event", kind);
        line.Insert(
            1,
            "time",
            clock.GetUtcNow().ToString("yyyy-MM-ddTHH:mm:ss.fffZ", System.Globalization.CultureInfo.InvariantCulture)
        );
        file.Write(Encoding.UTF8.GetBytes(line.ToJsonString(Format) + "\n"));
    }
}

/// <summary>A sample answer.</summary>
/// <param name="Line">Line in the data file.</param>
/// <param name="Prompt">The prompt.</param>
/// <param name="Answer">The model's answer.</param>
/// <param name="Expected">The reference answer.</param>
internal sealed record RunAnswer(int Line, string Prompt, string Answer, string Expected);
