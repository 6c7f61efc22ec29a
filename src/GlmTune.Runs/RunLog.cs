using System.Diagnostics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Runs;

/// <summary>Writes <c>log.jsonl</c>: what happens in a run, a line each, as it happens. It is only ever appended
/// to.</summary>
/// <remarks>
/// Every line has <c>event</c> and <c>time</c>. A line <c>start</c> with <c>step</c> N says that the run resumes from
/// step N: what earlier lines say of later steps was lost with them. Not thread-safe. </remarks>
public sealed class RunLog : IDisposable
{
    /// <summary>The file's name in the output folder.</summary>
    public const string FileName = "log.jsonl";

    // Chinese stays readable; the file is no HTML.
    private static readonly JsonSerializerOptions Format = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
    private readonly FileStream file;
    private readonly TimeProvider clock;

    private RunLog(FileStream file, TimeProvider clock) => (this.file, this.clock) = (file, clock);

    /// <summary>Opens the log of an output folder, which is created where it is missing, and says that the run
    /// starts.</summary>
    /// <param name="folder">The output folder.</param>
    /// <param name="doneSteps">Steps done before, when the run is resumed.</param>
    /// <param name="totalSteps">Steps of the whole run.</param>
    /// <param name="clock">Tells the time; null for the system's.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static RunLog Open(string folder, long doneSteps, long totalSteps, TimeProvider? clock = null)
    {
        Directory.CreateDirectory(folder);
        var file = new FileStream(
            Path.Combine(folder, FileName),
            FileMode.OpenOrCreate,
            FileAccess.ReadWrite,
            FileShare.Read | FileShare.Delete,
            bufferSize: 0
        );
        try
        {
            // A line that a killed run left half-written stays alone, where readers pass over it.
            file.Position = Math.Max(0, file.Length - 1);
            var last = file.ReadByte();
            file.Position = file.Length;
            if (last is not (-1 or '\n'))
            {
                file.WriteByte((byte)'\n');
            }

            var log = new RunLog(file, clock ?? TimeProvider.System);
            using var process = Process.GetCurrentProcess();
            log.Write(
                "start",
                new JsonObject
                {
                    ["step"] = doneSteps,
                    ["total_steps"] = totalSteps,
                    ["host"] = Environment.MachineName,
                    ["process"] = Environment.ProcessId,
                }
            );
            return log;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>A step is done.</summary>
    /// <param name="step">Its number, from 1.</param>
    /// <param name="values">What was measured, by name; values that are not finite are left out.</param>
    public void Step(long step, IEnumerable<KeyValuePair<string, double>> values) =>
        Write("step", Values(step, values));

    /// <summary>An evaluation is done.</summary>
    /// <param name="step">Steps done before it.</param>
    /// <param name="values">The scores, by name.</param>
    public void Evaluation(long step, IEnumerable<KeyValuePair<string, double>> values) =>
        Write("evaluation", Values(step, values));

    /// <summary>The test file was scored.</summary>
    /// <param name="step">Steps done before it.</param>
    /// <param name="values">The scores, by name.</param>
    public void Test(long step, IEnumerable<KeyValuePair<string, double>> values) =>
        Write("test", Values(step, values));

    /// <summary>A few answers of an evaluation.</summary>
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

    /// <summary>Something somebody should know.</summary>
    public void Note(string text) => Write("note", new JsonObject { ["text"] = text });

    /// <summary>An evaluation is so far; also tells readers that the run is alive.</summary>
    public void Progress(int done, int total) =>
        Write("progress", new JsonObject { ["done"] = done, ["total"] = total });

    /// <summary>A checkpoint is whole.</summary>
    public void Saved(string folder) => Write("saved", new JsonObject { ["folder"] = Path.GetFileName(folder) });

    /// <summary>The run is over.</summary>
    /// <param name="state">How it ended.</param>
    /// <param name="error">What went wrong, if that is how.</param>
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

    // One write a line, so that a reader sees whole lines but for the moment of a crash. Without a buffer, what a full
    // disk did not take does not fail once more when the log is closed.
    private void Write(string kind, JsonObject line)
    {
        line.Insert(0, "event", kind);
        line.Insert(
            1,
            "time",
            clock.GetUtcNow().ToString("yyyy-MM-ddTHH:mm:ss.fffZ", System.Globalization.CultureInfo.InvariantCulture)
        );
        file.Write(Encoding.UTF8.GetBytes(line.ToJsonString(Format) + "\n"));
        file.Flush();
    }
}

/// <summary>An answer to look at.</summary>
/// <param name="Line">Line of the data file.</param>
/// <param name="Prompt">What was asked.</param>
/// <param name="Answer">What the model said.</param>
/// <param name="Expected">What the data has.</param>
public sealed record RunAnswer(int Line, string Prompt, string Answer, string Expected);
