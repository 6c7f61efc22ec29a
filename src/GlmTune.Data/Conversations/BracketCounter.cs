namespace GlmTune.Data.Conversations;

/// <summary>Tracks open brackets and strings of JSON byte by byte, to find the end of a value without parsing
/// it.</summary>
/// <remarks>It recovers quickly from damaged JSON: a line break ends a string, and a closing bracket closes whatever is
/// still open inside it.</remarks>
internal sealed class BracketCounter
{
    private readonly List<byte> open = [];
    private bool isEscaped;

    /// <summary>Whether a string is open.</summary>
    public bool IsInString { get; private set; }

    /// <summary>Whether a bracket or a string is open.</summary>
    public bool IsOpen => open.Count > 0 || IsInString;

    /// <summary>The last byte that was not white space.</summary>
    public byte Last { get; private set; }

    /// <summary>Processes the next byte.</summary>
    public void Add(byte next)
    {
        if (next is (byte)' ' or (byte)'\t' or (byte)'\r')
        {
            return;
        }

        if (next == '\n')
        {
            IsInString = isEscaped = false;
            return;
        }

        Last = next;
        if (isEscaped)
        {
            isEscaped = false;
        }
        else if (IsInString)
        {
            isEscaped = next == '\\';
            IsInString = next != '"';
        }
        else if (next == '"')
        {
            IsInString = true;
        }
        else if (next is (byte)'{' or (byte)'[')
        {
            open.Add(next);
        }
        else if (next is (byte)'}' or (byte)']')
        {
            var opening = open.LastIndexOf(next == '}' ? (byte)'{' : (byte)'[');
            if (opening >= 0)
            {
                open.RemoveRange(opening, open.Count - opening);
            }
        }
    }

    /// <summary>Processes bytes.</summary>
    public void Add(ReadOnlySpan<byte> text)
    {
        foreach (var next in text)
        {
            Add(next);
        }
    }
}
