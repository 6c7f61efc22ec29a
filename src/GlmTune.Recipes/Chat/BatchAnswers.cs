using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>Answers every conversation of a file into another file, in order; goes on where an earlier run
/// stopped.</summary>
public static class BatchAnswers
{
    // Conversations under way; more than are answered side by side, so that one long answer holds up few.
    private const int Ahead = 64;

    private static readonly JsonSerializerOptions Writing = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Runs it.</summary>
    /// <param name="model">What answers.</param>
    /// <param name="input">Jsonl of <c>messages</c>; an answer at the end of a row is what is expected, not part of the
    /// prompt.</param>
    /// <param name="output">
    /// Jsonl: for each row its <c>line</c>, the <c>prediction</c>, the <c>label</c> if the row has one,
    /// <c>tool_calls</c> if there are any, and the <c>finish_reason</c>. Rows that it already has are not answered
    /// again. </param>
    /// <param name="options">How; with a seed, a row's line decides with it what is drawn, in one run or in
    /// several.</param>
    /// <param name="progress">Gets the number of answered rows and of all.</param>
    /// <param name="stop">Ends it; what is answered by then is in the output.</param>
    /// <returns>Rows answered by this run, and rows in all.</returns>
    /// <exception cref="InvalidDataException">Rows have problems or are too long, or the output is of another
    /// input.</exception>
    public static async Task<(int Answered, int Rows)> RunAsync(
        ChatModel model,
        string input,
        string output,
        GenerationOptions options,
        Action<int, int>? progress = null,
        CancellationToken stop = default
    )
    {
        var rows = ConversationFile.Rows(input).ToList();
        if (rows.SelectMany(row => row.Problems).ToList() is { Count: > 0 } problems)
        {
            throw DataProblem.Exception(problems);
        }

        using var file = new FileStream(output, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        var done = Done(file, output, rows);
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
                await file.WriteAsync(Encoding.UTF8.GetBytes(ToLine(rows[row], answer) + "\n"), CancellationToken.None)
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
        var conversation = row.Conversation!;
        var prompt = conversation with
        {
            Messages = [.. conversation.Messages.Take(conversation.Messages.Count - (Label(row) is null ? 0 : 1))],
        };
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

    private static string? Label(ConversationRow row) =>
        row.Conversation!.Messages[^1] is { Role: Role.Assistant } answer ? answer.Content : null;

    private static string ToLine(ConversationRow row, ChatAnswer answer)
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
        return JsonSerializer.Serialize(line, Writing);
    }

    // Counts the whole lines and cuts off what follows the last of them, which an interrupted run left.
    private static int Done(FileStream file, string path, List<ConversationRow> rows)
    {
        using var bytes = new MemoryStream();
        file.CopyTo(bytes);
        var text = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        var (done, end) = (0, 0);
        while (text[end..].IndexOf((byte)'\n') is >= 0 and var length)
        {
            if (done == rows.Count || Line(text.Slice(end, length)) != rows[done].Line)
            {
                throw new InvalidDataException(
                    $"{path}, line {done + 1}: does not answer row {done + 1} of the input. Remove the "
                        + "file, or choose another output file."
                );
            }

            (done, end) = (done + 1, end + length + 1);
        }

        file.SetLength(end);
        file.Position = end;
        return done;
    }

    private static int? Line(ReadOnlySpan<byte> line)
    {
        try
        {
            var reader = new Utf8JsonReader(line);
            using var json = JsonDocument.ParseValue(ref reader);
            return
                json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty("line", out var number)
                && number.TryGetInt32(out var value)
                ? value
                : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
