namespace GlmTune.Data.Conversations;

/// <summary>Follows which brackets and strings of JSON are open, byte by byte, to find where a value ends without
/// parsing it.</summary>
/// <remarks>Damaged JSON does not lead it far astray: a line break ends a string, and a closing bracket closes what was
/// left open inside it.</remarks>
internal sealed class BracketCounter
{
    private readonly List<byte> open = [];
    private bool isEscaped;

    /// <summary>Whether a string is open.</summary>
    public bool IsInString { get; private set; }

    /// <summary>Whether a bracket or a string is open.</summary>
    public bool IsOpen => open.Count > 0 || IsInString;

    /// <summary>The last byte that was no white space.</summary>
    public byte Last { get; private set; }

    /// <summary>Takes the next byte.</summary>
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

    /// <summary>Takes bytes.</summary>
    public void Add(ReadOnlySpan<byte> text)
    {
        foreach (var next in text)
        {
            Add(next);
        }
    }
}
