using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>Turns what the model writes, as it comes, into text that may be shown, and tool calls.</summary>
/// <remarks>
/// Pieces put together are the stripped text. Held back are: what may still become a tool call, white space that may be
/// the end, the beginning of what may become a stop text. In which pieces the text comes changes nothing but when it is
/// shown; each is looked at a few times, however long the answer is. Not thread-safe: one for each answer. </remarks>
internal sealed class AnswerStream
{
    private enum Kind
    {
        Undecided,
        Text,
        Call,
    }

    private readonly IReadOnlyCollection<string> toolNames;
    private readonly IReadOnlyList<string> stopTexts;
    private readonly bool streamCalls;
    private readonly StringBuilder raw = new(); // The message, while it is not known to be text.
    private readonly StringBuilder message = new(); // Its text.
    private readonly StringBuilder blanks = new(); // White space behind it, which is shown with what comes next.
    private readonly List<ParsedAnswer> messages = [];
    private readonly List<ToolCallPiece> calls = [];
    private StopSequenceMatcher stopped;
    private StreamedArguments? arguments; // Of the call that is given piece by piece.
    private int callCount;
    private Kind kind;
    private bool hasLine; // Whether the message has a line's end, while it is not known to be text.
    private bool begun; // Whether the message has a visible character.
    private bool anyShown;
    private bool separate; // Whether an earlier message's text stands before this one's.

    /// <param name="toolNames">What may be called.</param>
    /// <param name="stopTexts">What ends the answer.</param>
    /// <param name="streamCalls">Whether calls in GLM-4's own style are given piece by piece.</param>
    public AnswerStream(
        IReadOnlyCollection<string> toolNames,
        IReadOnlyList<string> stopTexts,
        bool streamCalls = false
    )
    {
        (this.toolNames, this.stopTexts, this.streamCalls) = (toolNames, stopTexts, streamCalls);
        stopped = new StopSequenceMatcher(stopTexts);
        kind = toolNames.Count == 0 ? Kind.Text : Kind.Undecided;
    }

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

        switch (kind)
        {
            case Kind.Text:
                return Show(text, last: false);
            case Kind.Call when arguments is not null:
                StreamCall(text);
                return "";
        }

        raw.Append(text);
        if (kind == Kind.Call || !CanDecide(text))
        {
            return "";
        }

        var written = raw.ToString();
        (kind, arguments) = Decide(written);
        if (arguments is not null)
        {
            StreamCall(written[written.IndexOf('{', StringComparison.Ordinal)..]);
        }

        return kind == Kind.Text ? Show(written, last: false) : "";
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
    /// <param name="cutOff">Whether the length ended it.</param>
    /// <returns>What was held back of its text.</returns>
    public string EndMessage(bool cutOff = false)
    {
        var text = "";
        var parsed =
            kind == Kind.Text ? null : arguments?.ToAnswer() ?? ToolCallParser.Parse(raw.ToString(), toolNames, cutOff);
        if (parsed?.Call is null)
        {
            text = Show(kind == Kind.Text ? "" : raw.ToString(), last: true);
            parsed = new ParsedAnswer(new Message(Role.Assistant, message.ToString()), null);
        }

        if (parsed.Call is { } call && arguments is null)
        {
            calls.Add(
                new ToolCallPiece(callCount++, call.Name, call.Arguments)
                {
                    Form = WrittenCall.FormOf(call, parsed.Message),
                }
            );
        }

        if (parsed.Call is not null || parsed.Message.Content.Length > 0)
        {
            messages.Add(parsed);
        }

        raw.Clear();
        message.Clear();
        blanks.Clear();
        (stopped, arguments) = (new StopSequenceMatcher(stopTexts), null);
        (kind, hasLine, begun, separate) = (toolNames.Count == 0 ? Kind.Text : Kind.Undecided, false, false, anyShown);
        return text;
    }

    private void StreamCall(string text)
    {
        if (arguments!.Read(text) is { Length: > 0 } more)
        {
            calls.Add(new ToolCallPiece(callCount - 1, null, more));
        }
    }

    // Only visible characters decide, and the end of the first line: of these there are few before it is decided.
    private bool CanDecide(string added)
    {
        var endsLine = !hasLine && added.Contains('\n', StringComparison.Ordinal);
        hasLine |= endsLine;
        return endsLine || !string.IsNullOrWhiteSpace(added);
    }

    // Where it is a call that can be told before its end, a name and then an object, its arguments are begun.
    private (Kind Kind, StreamedArguments? Arguments) Decide(string text)
    {
        var start = text.AsSpan().TrimStart();
        if (start.Length == 0)
        {
            return (Kind.Undecided, null);
        }

        if (start[0] is '{' or '`')
        {
            return (DecideJson(start), null);
        }

        var end = text.IndexOf('\n', StringComparison.Ordinal);
        if (end < 0)
        {
            var beginning = text.Trim();
            return (
                toolNames.Any(name => name.StartsWith(beginning, StringComparison.Ordinal))
                    ? Kind.Undecided
                    : Kind.Text,
                null
            );
        }

        var header = text[..end].Trim();
        var content = text.AsSpan(end + 1).TrimStart();
        if (!toolNames.Contains(header))
        {
            return (Kind.Text, null);
        }

        if (content.Length == 0)
        {
            return (Kind.Undecided, null);
        }

        if (content[0] == '{' && streamCalls)
        {
            calls.Add(
                new ToolCallPiece(callCount++, header, "")
                {
                    Form = WrittenCall.FormOf(
                        new ToolCall(header, "{}", ToolCallStyle.Native),
                        new Message(Role.Assistant, "{}") { Metadata = header }
                    ),
                }
            );
            return (Kind.Call, new StreamedArguments(header));
        }

        return (content[0] is '{' or '`' || ToolDefinition.BuiltIn.Contains(header) ? Kind.Call : Kind.Text, null);
    }

    // Whether the text can be the beginning of {"name" …, with or without a fence around it.
    private static Kind DecideJson(ReadOnlySpan<char> text)
    {
        var dense = new StringBuilder(20);
        for (var i = 0; i < text.Length && dense.Length < 20; i++)
        {
            if (!char.IsWhiteSpace(text[i]))
            {
                dense.Append(text[i]);
            }
        }

        var written = dense.ToString();
        return ((string[])["{\"name\"", "```{\"name\"", "```json{\"name\""])
            .Select(beginning =>
                written.StartsWith(beginning, StringComparison.Ordinal) ? Kind.Call
                : beginning.StartsWith(written, StringComparison.Ordinal) ? Kind.Undecided
                : Kind.Text
            )
            .OrderBy(kind =>
                kind == Kind.Call ? 0
                : kind == Kind.Undecided ? 1
                : 2
            )
            .First();
    }

    private string Show(string text, bool last)
    {
        if (!begun)
        {
            text = text.TrimStart();
            if (text.Length == 0)
            {
                return "";
            }

            begun = true;
        }

        var certain = stopped.Add(text, last);
        Stopped |= stopped.Stopped;
        var end = certain.AsSpan().TrimEnd().Length;
        if (end == 0)
        {
            blanks.Append(certain);
            return "";
        }

        var piece = blanks.Append(certain, 0, end).ToString();
        blanks.Clear().Append(certain, end, certain.Length - end);
        message.Append(piece);
        if (separate)
        {
            (piece, separate) = ($"\n{piece}", false);
        }

        anyShown = true;
        return piece;
    }
}
