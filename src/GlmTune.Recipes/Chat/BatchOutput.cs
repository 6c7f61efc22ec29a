using System.Text.Encodings.Web;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>The output of <see cref="BatchAnswers"/>: a JSON object a row of the input, in its order.</summary>
internal static class BatchOutput
{
    /// <summary>The key of a row that could not be answered: why.</summary>
    public const string ErrorKey = "error";

    private static readonly JsonSerializerOptions Writing = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>A row's conversation without the answer at its end.</summary>
    public static Conversation Question(ConversationRow row) =>
        row.Conversation! with
        {
            Messages =
            [
                .. row.Conversation.Messages.Take(row.Conversation.Messages.Count - (Label(row) is null ? 0 : 1)),
            ],
        };

    /// <summary>The line of an answered row, without the line break.</summary>
    public static string ToLine(ConversationRow row, ChatAnswer answer, AnswerDigest digest)
    {
        var line = Begin(row, answer.Text, answer.Reasoning.Length > 0);
        if (answer.Reasoning.Length > 0)
        {
            line["reasoning_content"] = answer.Reasoning;
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

    /// <summary>The line of a row that cannot be answered, without the line break.</summary>
    public static string ToLine(ConversationRow row, string error, AnswerDigest digest)
    {
        var line = Begin(row, prediction: null, thinks: false);
        line[ErrorKey] = error;
        line["finish_reason"] = ErrorKey;
        line[AnswerDigest.Key] = digest.ToString();
        return JsonSerializer.Serialize(line, Writing);
    }

    /// <summary>Counts the whole lines of an output and finds where the last of them ends; what follows was left by an
    /// interrupted run.</summary>
    /// <param name="file">The output.</param>
    /// <param name="path">Its path.</param>
    /// <param name="rows">The rows of the input.</param>
    /// <param name="digests">Theirs.</param>
    /// <exception cref="InvalidDataException">A line is not an answer to its row.</exception>
    public static (int Done, int Failed, int End) FindEnd(
        Stream file,
        string path,
        IReadOnlyList<ConversationRow> rows,
        IReadOnlyList<AnswerDigest> digests
    )
    {
        using var bytes = new MemoryStream();
        file.CopyTo(bytes);
        var text = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        var (done, failed, end) = (0, 0, 0);
        while (text[end..].IndexOf((byte)'\n') is >= 0 and var length)
        {
            if (
                Problem(
                    text.Slice(end, length),
                    done < rows.Count ? (rows[done].Line, digests[done]) : null,
                    out var isError
                ) is
                { } why
            )
            {
                throw new InvalidDataException(
                    $"{path}, line {done + 1}: {why}. Nothing was changed. Name another output, or start over with "
                        + "--overwrite."
                );
            }

            (done, failed, end) = (done + 1, failed + (isError ? 1 : 0), end + length + 1);
        }

        return (done, failed, end);
    }

    // Where the model thinks, the reference is the answer without thoughts too.
    private static Dictionary<string, object?> Begin(ConversationRow row, string? prediction, bool thinks)
    {
        var line = new Dictionary<string, object?> { ["line"] = row.Line };
        if (row.Place.Entry is { } entry)
        {
            line["entry"] = entry;
        }

        line["prediction"] = prediction;
        if (Label(row) is { } label)
        {
            line["label"] = thinks ? Thoughts.Of(new Message(Role.Assistant, label)).Answer : label;
        }

        return line;
    }

    private static string? Label(ConversationRow row) =>
        row.Conversation!.Messages[^1] is { Role: Role.Assistant } answer ? answer.Content : null;

    // Why a row of the output does not belong to this run; null if it does.
    private static string? Problem(ReadOnlySpan<byte> text, (int Line, AnswerDigest Digest)? expected, out bool isError)
    {
        isError = false;
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

            isError = root.TryGetProperty(ErrorKey, out _);
            return found.DifferenceTo(row.Digest)
                ?? (line == row.Line ? null : $"answers line {line} of an input; expected line {row.Line}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return "is not a row written by generate";
        }
    }
}
