using GlmTune.Files;

namespace GlmTune.Data.Conversations;

/// <summary>Reads the entries of a JSON array one by one, without loading the whole file into memory.</summary>
internal sealed class ArrayEntries : IDisposable
{
    private readonly string path;
    private readonly MemoryStream text = new();
    private BracketCounter brackets = new();
    private int line = 1;
    private int entryLine;
    private int entries;
    private bool isTooLong;
    private string? before;

    private ArrayEntries(string path) => this.path = path;

    private enum State
    {
        Start,
        BeforeEntry,
        InEntry,
        AfterEntry,
        Ended,
    }

    /// <exception cref="InvalidDataException">The array is not closed, or something follows it.</exception>
    public static IEnumerable<FileEntry> Read(string path)
    {
        using var entries = new ArrayEntries(path);
        foreach (var entry in entries.Entries())
        {
            yield return entry;
        }
    }

    public void Dispose() => text.Dispose();

    private IEnumerable<FileEntry> Entries()
    {
        using var file = RegularFile.OpenStream(path, bufferSize: 1);
        var buffer = new byte[1 << 16];
        var (state, comma) = (State.Start, false);
        int filled;
        while ((filled = file.Read(buffer)) > 0)
        {
            for (var i = 0; i < filled; i++)
            {
                var next = buffer[i];
                var isBlank = next is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n';
                if (state == State.InEntry)
                {
                    // A value without brackets ends where the next token starts.
                    if (!brackets.IsOpen && (isBlank || next is (byte)',' or (byte)']'))
                    {
                        state = State.AfterEntry;
                        yield return Take();
                    }
                    else
                    {
                        Keep(next);
                        if (!brackets.IsOpen && next is (byte)'}' or (byte)']' or (byte)'"')
                        {
                            state = State.AfterEntry;
                            yield return Take();
                        }

                        line += next == '\n' ? 1 : 0;
                        continue;
                    }
                }

                line += next == '\n' ? 1 : 0;
                if (isBlank || (state == State.Start && next != '['))
                {
                    continue;
                }

                switch (state)
                {
                    case State.Start:
                        state = State.BeforeEntry;
                        break;
                    case State.Ended:
                        throw new InvalidDataException(
                            $"{path}, line {line}: found more data after the end of the array. Does the file "
                                + "hold several arrays? Expected one."
                        );
                    case State.BeforeEntry when next == ']':
                        if (comma)
                        {
                            yield return Fault(
                                "found a comma before ]; the last entry has no comma after it. Remove it."
                            );
                        }

                        state = State.Ended;
                        break;
                    case State.AfterEntry when next == ']':
                        state = State.Ended;
                        break;
                    case State.AfterEntry when next == ',':
                        (state, comma) = (State.BeforeEntry, true);
                        break;
                    case State.BeforeEntry when next == ',':
                        yield return Fault("found a comma; expected an entry. Remove one comma.");
                        break;
                    default:
                        before =
                            state == State.AfterEntry
                                ? "there is no comma between this entry and the one before."
                                : null;
                        entryLine = line;
                        entries++;
                        brackets = new BracketCounter();
                        Keep(next);
                        state = State.InEntry;
                        break;
                }
            }
        }

        if (state != State.Ended)
        {
            throw new InvalidDataException(
                state == State.InEntry
                    ? $"{path}: the file ends inside {Place}, which has unclosed brackets: {WhyOpen()}"
                    : $"{path}: the array has no closing ] at the end of the file. Is the file complete?"
            );
        }
    }

    private string WhyOpen()
    {
        _ = ConversationReader.ParseEntry(Take(), out var problem);
        return problem ?? "Is the file complete?";
    }

    private RowPlace Place => new(entryLine, entries);

    private void Keep(byte next)
    {
        brackets.Add(next);
        isTooLong |= text.Length >= JsonLines.MaxBytes;
        if (!isTooLong)
        {
            text.WriteByte(next);
        }
    }

    private FileEntry Take()
    {
        var entry = new FileEntry(Place, isTooLong ? [] : text.ToArray(), isTooLong ? FileEntry.TooLong : before);
        text.SetLength(0);
        if (text.Capacity > 1 << 20)
        {
            text.Capacity = 0;
        }

        isTooLong = false;
        return entry;
    }

    private FileEntry Fault(string problem) => new(new RowPlace(line, Math.Max(entries, 1)), [], problem);
}
