using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>Turns what the model writes, as it comes, into text that may be shown, and tool calls.</summary>
/// <remarks>
/// Pieces put together are the stripped text. Held back are: what may still become a tool call, white space that may be the end, the beginning of
/// what may become a stop text. Not thread-safe: one for each answer.
/// </remarks>
internal sealed class AnswerStream(IReadOnlyCollection<string> toolNames, IReadOnlyList<string> stopTexts, bool streamCalls = false)
{
    private enum Kind
    {
        Undecided,
        Text,
        Call,
    }

    private readonly StringBuilder raw = new();
    private readonly List<ParsedAnswer> messages = [];
    private readonly List<ToolCallPiece> calls = [];
    private StreamedArguments? arguments;   // Of the call that is given piece by piece.
    private int callCount;
    private Kind kind;
    private int shown = -1;   // How much of the message was shown or skipped; below 0 before its first visible character.
    private bool anyShown;
    private bool separate;   // Whether an earlier message's text stands before this one's.

    /// <summary>The messages that are whole: one, unless the model opened another turn of its own.</summary>
    public IReadOnlyList<ParsedAnswer> Messages => messages;

    /// <summary>Whether a stop text came; nothing after it counts.</summary>
    public bool Stopped { get; private set; }

    /// <summary>Takes more of the answer.</summary>
    /// <returns>What may be shown now; often empty.</returns>
    public string Add(string text)
    {
        if (Stopped || text.Length == 0)
        {
            return "";
        }

        raw.Append(text);
        if (kind == Kind.Undecided)
        {
            kind = Decide(raw.ToString());
        }

        if (kind == Kind.Call && streamCalls)
        {
            StreamCall();
        }

        return kind == Kind.Text ? Show(last: false) : "";
    }

    /// <summary>What came of calls since the last time.</summary>
    public IReadOnlyList<ToolCallPiece> TakeCalls()
    {
        if (calls.Count == 0)
        {
            return [];
        }

        ToolCallPiece[] taken = [.. calls];
        calls.Clear();
        return taken;
    }

    /// <summary>Ends a message: the answer is over, or the model opens another turn.</summary>
    /// <returns>What was held back of its text.</returns>
    public string EndMessage()
    {
        var text = "";
        var parsed = kind == Kind.Text ? null : arguments?.ToAnswer() ?? ToolCallParser.Parse(raw.ToString(), toolNames);
        if (parsed?.Call is null)
        {
            text = Show(last: true);
            parsed = new ParsedAnswer(new Message(Role.Assistant, raw.ToString().Trim()), null);
        }

        if (parsed.Call is { } call && arguments is null)
        {
            calls.Add(new ToolCallPiece(callCount++, call.Name, call.Arguments));
        }

        arguments = null;
        if (parsed.Call is not null || parsed.Message.Content.Length > 0)
        {
            messages.Add(parsed);
        }

        raw.Clear();
        (kind, shown, separate) = (Kind.Undecided, -1, anyShown);
        return text;
    }

    // Only a call that is a name and then an object can be told before its end.
    private void StreamCall()
    {
        var text = raw.ToString();
        if (arguments is null)
        {
            var end = text.IndexOf('\n', StringComparison.Ordinal);
            var name = end < 0 ? "" : text[..end].Trim();
            var start = text.Length - text[(end + 1)..].TrimStart().Length;
            if (!toolNames.Contains(name) || start >= text.Length || text[start] != '{')
            {
                return;
            }

            arguments = new StreamedArguments(name, start);
            calls.Add(new ToolCallPiece(callCount++, name, ""));
        }

        if (arguments.Read(text) is { Length: > 0 } more)
        {
            calls.Add(new ToolCallPiece(callCount - 1, null, more));
        }
    }

    private Kind Decide(string text)
    {
        if (toolNames.Count == 0)
        {
            return Kind.Text;
        }

        var start = text.TrimStart();
        if (start.Length == 0)
        {
            return Kind.Undecided;
        }

        if (start[0] is '{' or '`')
        {
            return DecideJson(start);
        }

        var end = text.IndexOf('\n', StringComparison.Ordinal);
        if (end < 0)
        {
            return toolNames.Any(name => name.StartsWith(text.Trim(), StringComparison.Ordinal)) ? Kind.Undecided : Kind.Text;
        }

        var (header, content) = (text[..end].Trim(), text[(end + 1)..].TrimStart());
        return !toolNames.Contains(header) ? Kind.Text
            : content.Length == 0 ? Kind.Undecided
            : content[0] is '{' or '`' || ToolDefinition.BuiltIn.Contains(header) ? Kind.Call
            : Kind.Text;
    }

    // Whether the text can be the beginning of {"name" …, with or without a fence around it.
    private static Kind DecideJson(string text)
    {
        var dense = string.Concat(text.Where(c => !char.IsWhiteSpace(c)).Take(20));
        return ((string[])["{\"name\"", "```{\"name\"", "```json{\"name\""])
            .Select(beginning => dense.StartsWith(beginning, StringComparison.Ordinal) ? Kind.Call
                : beginning.StartsWith(dense, StringComparison.Ordinal) ? Kind.Undecided
                : Kind.Text)
            .OrderBy(kind => kind == Kind.Call ? 0 : kind == Kind.Undecided ? 1 : 2)
            .First();
    }

    private string Show(bool last)
    {
        var text = raw.ToString();
        if (shown < 0)
        {
            var leading = text.Length - text.TrimStart().Length;
            if (leading == text.Length)
            {
                return "";
            }

            shown = leading;
        }

        var end = text.Length;
        foreach (var stop in stopTexts)
        {
            if (text.IndexOf(stop, shown, StringComparison.Ordinal) is >= 0 and var found && found < end)
            {
                (end, Stopped) = (found, true);
            }
        }

        if (Stopped)
        {
            raw.Length = end;
        }
        else if (!last)
        {
            end -= stopTexts.Select(stop => Overlap(text.AsSpan(shown), stop)).DefaultIfEmpty(0).Max();
        }

        while (end > shown && char.IsWhiteSpace(text[end - 1]))
        {
            end--;
        }

        var piece = text[shown..end];
        shown = end;
        if (piece.Length > 0 && separate)
        {
            (piece, separate) = ($"\n{piece}", false);
        }

        anyShown |= piece.Length > 0;
        return piece;
    }

    // The longest end of the text that a stop text begins with.
    private static int Overlap(ReadOnlySpan<char> text, string stop)
    {
        for (var length = Math.Min(text.Length, stop.Length - 1); length > 0; length--)
        {
            if (text[^length..].SequenceEqual(stop.AsSpan(0, length)))
            {
                return length;
            }
        }

        return 0;
    }
}
