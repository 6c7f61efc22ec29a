using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Checkpoints;
using GlmTune.Files;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Runs;

/// <summary>Presents the history in a <c>trainer_state.json</c> as lines of a log.</summary>
internal static class StateLog
{
    private const int MaxBytes = 32 << 20;

    // A trainer writes the file only with checkpoints, so long silence is normal.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromMinutes(30);

    /// <summary>All of its lines, unless the file has not changed since the read that ended at
    /// <paramref name="from"/>.</summary>
    /// <param name="file">The opened file; null: there is none.</param>
    /// <param name="path">Its path, for messages.</param>
    /// <param name="from">When it had been changed at the last read.</param>
    public static RunLogPart Read(SafeFileHandle? file, string path, long from)
    {
        if (file is null)
        {
            return new RunLogPart([], 0, 0, false);
        }

        var written = new DateTimeOffset(File.GetLastWriteTimeUtc(file));
        var version = written.ToUnixTimeMilliseconds();
        if (version == from)
        {
            return new RunLogPart([], from, from, false);
        }

        try
        {
            return new RunLogPart(
                Lines(TrainerStateFile.Parse(RegularFile.ReadBytes(file, path, MaxBytes), path), written),
                0,
                version,
                false
            );
        }
        catch (InvalidDataException error)
        {
            return new RunLogPart([], 0, version, false) { Problem = error.Message };
        }
    }

    private static List<JsonElement> Lines(TrainerStateFile state, DateTimeOffset written)
    {
        var lines = new List<JsonObject> { Line("start", 0, written) };
        lines[0]["total_steps"] = state.TotalSteps;
        var finished = state.TotalSteps > 0 && state.GlobalStep >= state.TotalSteps;
        foreach (var entry in state.History.OfType<JsonObject>())
        {
            var kind =
                entry.Any(pair => pair.Key.StartsWith("eval_", StringComparison.Ordinal)) ? "evaluation"
                : entry.ContainsKey("loss") ? "step"
                : null;
            finished |= entry.ContainsKey("train_runtime");
            if (kind is not null && entry["step"] is JsonValue number && number.TryGetValue<double>(out var step))
            {
                var line = Line(kind, (long)step, written);
                // Trainers log numbers; anything else is not of a curve.
                foreach (
                    var (name, value) in entry.Where(pair =>
                        pair.Value?.GetValueKind() == JsonValueKind.Number && !line.ContainsKey(pair.Key)
                    )
                )
                {
                    line[name] = value!.DeepClone();
                }

                lines.Add(line);
            }
        }

        if (finished || DateTimeOffset.UtcNow - written > LongestSilence)
        {
            var end = Line("end", state.GlobalStep, written);
            end["state"] = (finished ? RunState.Finished : RunState.Lost).Word();
            lines.Add(end);
        }

        return [.. lines.Select(line => JsonSerializer.SerializeToElement(line))];
    }

    private static JsonObject Line(string kind, long step, DateTimeOffset time) =>
        new()
        {
            ["event"] = kind,
            ["time"] = time.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture),
            ["step"] = step,
        };
}
