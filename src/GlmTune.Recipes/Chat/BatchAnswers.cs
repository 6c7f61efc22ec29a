using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>Answers every conversation of a file into another file, in order; resumes where an earlier run
/// stopped.</summary>
public static class BatchAnswers
{
    // Conversations in progress; more than are decoded together, so that one long answer delays few.
    private const int Ahead = 64;

    private static readonly JsonSerializerOptions Writing = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Runs the batch.</summary>
    /// <param name="model">The chat model.</param>
    /// <param name="identity">Identifies the model and its adapter: <see cref="TunedChat.Identity"/>.</param>
    /// <param name="input">JSON Lines with <c>messages</c>. A final answer of a row is its label, not part of the
    /// prompt.</param>
    /// <param name="output">JSON Lines: for each row its <c>line</c>, the <c>prediction</c>, the <c>label</c> if the
    /// row has one, <c>tool_calls</c> if there are any, the <c>finish_reason</c>, and a <c>digest</c> of what the
    /// answer depends on. Rows that already exist are not answered again.</param>
    /// <param name="options">Generation settings. With a seed, each row's line number also determines its random
    /// numbers, so one run and several give the same answers.</param>
    /// <param name="overwrite">Whether to replace an existing output instead of continuing it.</param>
    /// <param name="progress">Called with the number of answered rows and the total.</param>
    /// <param name="stop">Stops the batch; rows answered so far are in the output.</param>
    /// <returns>Number of rows answered by this run, and the total number of rows.</returns>
    /// <exception cref="InvalidDataException">Rows have problems or are too long; or the output holds answers to other
    /// questions, from another model, or generated with other settings. The output is unchanged.</exception>
    public static async Task<(int Answered, int Rows)> RunAsync(
        ChatModel model,
        string identity,
        string input,
        string output,
        GenerationOptions options,
        bool overwrite = false,
        Action<int, int>? progress = null,
        CancellationToken stop = default
    )
    {
        var rows = ConversationFile.Rows(input).ToList();
        if (rows.SelectMany(row => row.Problems).ToList() is { Count: > 0 } problems)
        {
            throw DataProblem.Exception(problems);
        }

        var template = model.Template.Options.Preset.Name;
        var settings = options.Over(model.Scheduler.Generator.Defaults).Over(GenerationOptions.Defaults);
        AnswerDigest[] digests = [.. rows.Select(row => AnswerDigest.Of(identity, template, settings, Question(row)))];
        using var file = new FileStream(output, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        if (overwrite)
        {
            file.SetLength(0);
        }

        var done = Done(file, output, rows, digests);
        using var abandoned = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var (next, pending) = (done, new Queue<Task<ChatAnswer>>());
        try
        {
            for (var row = done; row < rows.Count; row++)
            {
                for (; next < rows.Count && pending.Count < Ahead; next++)
                {
                    pending.Enqueue(AnswerAsync(model, input, rows[next], options, abandoned.Token));
                }

                var answer = await pending.Dequeue().ConfigureAwait(false);
                await file.WriteAsync(
                        Encoding.UTF8.GetBytes(ToLine(rows[row], answer, digests[row]) + "\n"),
                        CancellationToken.None
                    )
                    .ConfigureAwait(false);
                await file.FlushAsync(CancellationToken.None).ConfigureAwait(false);
                progress?.Invoke(row + 1, rows.Count);
            }
        }
        finally
        {
            await abandoned.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(pending).ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
        }

        file.Flush(flushToDisk: true);
        return (rows.Count - done, rows.Count);
    }

    private static async Task<ChatAnswer> AnswerAsync(
        ChatModel model,
        string input,
        ConversationRow row,
        GenerationOptions options,
        CancellationToken stop
    )
    {
        var prompt = Question(row);
        try
        {
            return await model
                .AnswerAsync(
                    new ChatRequest(prompt) { Options = options with { Seed = options.Seed + row.Line } },
                    stop
                )
                .ConfigureAwait(false);
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException($"{input}, line {row.Line}: {e.Message}", e);
        }
    }

    private static Conversation Question(ConversationRow row) =>
        row.Conversation! with
        {
            Messages =
            [
                .. row.Conversation.Messages.Take(row.Conversation.Messages.Count - (Label(row) is null ? 0 : 1)),
            ],
        };

    private static string? Label(ConversationRow row) =>
        row.Conversation!.Messages[^1] is { Role: Role.Assistant } answer ? answer.Content : null;

    private static string ToLine(ConversationRow row, ChatAnswer answer, AnswerDigest digest)
    {
        var line = new Dictionary<string, object> { ["line"] = row.Line, ["prediction"] = answer.Text };
        if (Label(row) is { } label)
        {
            line["label"] = label;
        }

        if (answer.Calls.Count > 0)
        {
            line["tool_calls"] = answer.Calls.Select(call => new { name = call.Name, arguments = call.Arguments });
        }

        line["finish_reason"] =
            answer.Calls.Count > 0 ? "tool_calls"
            : answer.Finish == FinishReason.Length ? "length"
            : "stop";
        line[AnswerDigest.Key] = digest.ToString();
        return JsonSerializer.Serialize(line, Writing);
    }

    // Counts the complete lines and removes an incomplete last one, left by an interrupted run.
    private static int Done(FileStream file, string path, List<ConversationRow> rows, AnswerDigest[] digests)
    {
        using var bytes = new MemoryStream();
        file.CopyTo(bytes);
        var text = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        var (done, end) = (0, 0);
        while (text[end..].IndexOf((byte)'\n') is >= 0 and var length)
        {
            if (
                Problem(text.Slice(end, length), done < rows.Count ? (rows[done].Line, digests[done]) : null) is { } why
            )
            {
                throw new InvalidDataException(
                    $"{path}, line {done + 1}: {why}. Nothing was changed. Name another output, or start over with "
                        + "--overwrite."
                );
            }

            (done, end) = (done + 1, end + length + 1);
        }

        file.SetLength(end);
        file.Position = end;
        return done;
    }

    // Why a row of the output does not belong to this run; null if it does.
    private static string? Problem(ReadOnlySpan<byte> text, (int Line, AnswerDigest Digest)? expected)
    {
        if (expected is not { } row)
        {
            return "is an answer beyond the last row of the input";
        }

        try
        {
            var reader = new Utf8JsonReader(text);
            using var json = JsonDocument.ParseValue(ref reader);
            var root = json.RootElement;
            if (
                root.ValueKind != JsonValueKind.Object
                || !root.TryGetProperty("line", out var number)
                || !number.TryGetInt32(out var line)
            )
            {
                return "is not a row written by generate";
            }

            if (
                !root.TryGetProperty(AnswerDigest.Key, out var digest)
                || AnswerDigest.Parse(digest.GetString()) is not { } found
            )
            {
                return "does not say which model, settings and question it belongs to (it was written by an earlier "
                    + "version)";
            }

            return found.DifferenceTo(row.Digest)
                ?? (line == row.Line ? null : $"answers line {line} of an input; expected line {row.Line}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return "is not a row written by generate";
        }
    }
}
