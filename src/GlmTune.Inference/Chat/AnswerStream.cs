using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>Splits a model's output, as it is generated, into displayable text and tool calls.</summary>
/// <remarks>The concatenated pieces are the stripped text. Held back are: text that may become a tool call, white space
/// that may be the end, and text that may become a stop sequence. The division into pieces affects only when text is
/// shown; each is examined a few times at most, however long the answer is. Not thread-safe: use one per
/// answer.</remarks>
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
    private readonly StringBuilder raw = new(); // The message, as long as it is not known to be text.
    private readonly StringBuilder message = new(); // Its text.
    private readonly StringBuilder blanks = new(); // White space after it, which is shown together with the next text.
    private readonly List<ParsedAnswer> messages = [];
    private readonly List<ToolCallPiece> calls = [];
    private StopSequenceMatcher stopped;
    private StreamedArguments? arguments; // State of a call that is emitted piece by piece.
    private int callCount;
    private Kind kind;
    private bool hasLine; // Whether the message contains a line end, as long as it is not known to be text.
    private bool begun; // Whether the message contains a visible character.
    private bool anyShown;
    private bool separate; // Whether text of an earlier message precedes this one's.

    /// <param name="toolNames">Names of the tools that may be called.</param>
    /// <param name="stopTexts">Stop sequences that end the answer.</param>
    /// <param name="streamCalls">Whether calls in GLM-4's own style are emitted piece by piece.</param>
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

    /// <summary>The completed messages: one, unless the model opened another turn of its own.</summary>
    public IReadOnlyList<ParsedAnswer> Messages => messages;

    /// <summary>Whether a stop sequence was found; later text is ignored.</summary>
    public bool Stopped { get; private set; }

    /// <summary>Adds output of the model.</summary>
    /// <returns>The text that may be shown now; often empty.</returns>
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

    /// <summary>Parts of calls since the last time.</summary>
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
    /// <param name="cutOff">Whether the length limit ended it.</param>
    /// <returns>Text that was held back.</returns>
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

    // Only visible characters and the end of the first line decide, and few of them come before the decision.
    private bool CanDecide(string added)
    {
        var endsLine = !hasLine && added.Contains('\n', StringComparison.Ordinal);
        hasLine |= endsLine;
        return endsLine || !string.IsNullOrWhiteSpace(added);
    }

    // A call that can be recognized before its end (a name and then an object) starts streaming its arguments.
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

    // Whether the text can be the start of {"name" …, with or without a code fence.
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
