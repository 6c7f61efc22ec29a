using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Checkpoints;

namespace GlmTune.Runs;

/// <summary>Presents the history in a <c>trainer_state.json</c> as lines of a log.</summary>
internal static class StateLog
{
    // A trainer writes the file only with checkpoints, so long silence is normal.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromMinutes(30);

    /// <summary>All of its lines, unless the file has not changed since the read that ended at
    /// <paramref name="from"/>.</summary>
    public static RunLogPart Read(string? path, long from)
    {
        if (path is null || !File.Exists(path))
        {
            return new RunLogPart([], 0, 0, false);
        }

        var written = new DateTimeOffset(File.GetLastWriteTimeUtc(path));
        var version = written.ToUnixTimeMilliseconds();
        return version == from
            ? new RunLogPart([], from, from, false)
            : new RunLogPart(Lines(path, written), 0, version, false);
    }

    private static List<JsonElement> Lines(string path, DateTimeOffset written)
    {
        TrainerStateFile state;
        try
        {
            state = TrainerStateFile.Read(Path.GetDirectoryName(path)!);
        }
        catch (InvalidDataException)
        {
            return [];
        }

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
                foreach (var (name, value) in entry.Where(pair => pair.Key != "step" && pair.Value is not null))
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
