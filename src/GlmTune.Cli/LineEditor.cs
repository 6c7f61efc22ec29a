using System.Text;
using GlmTune.Cli.Help;

namespace GlmTune.Cli;

/// <summary>Reads lines from a terminal with editing and history: arrows, Home, End, Backspace, Delete, and the usual
/// keys of shells (Ctrl-A, -E, -K, -U, -W, -D).</summary>
/// <remarks>A line stays in one row: of a longer one, the part around the cursor is shown. So only the carriage return
/// is needed to draw it.</remarks>
/// <param name="readKey">Waits for a key without showing it.</param>
/// <param name="output">The terminal.</param>
/// <param name="width">Columns of the terminal.</param>
internal sealed class LineEditor(Func<ConsoleKeyInfo> readKey, TextWriter output, Func<int> width)
{
    private const int LeastWidth = 8;
    private readonly List<string> history = [];

    /// <summary>Reads a line.</summary>
    /// <param name="prompt">Text before it.</param>
    /// <returns>The line; null at its end (Ctrl-D in an empty line).</returns>
    public string? Read(string prompt)
    {
        List<Rune> line = [];
        var (cursor, at, shown, draft) = (0, history.Count, 0, "");
        char? high = null;
        while (true)
        {
            Draw();
            var key = readKey();
            switch (key)
            {
                case { Key: ConsoleKey.Enter }:
                    output.WriteLine();
                    var text = Text();
                    if (text.Trim().Length > 0 && (history.Count == 0 || history[^1] != text))
                    {
                        history.Add(text);
                    }

                    return text;
                case { Key: ConsoleKey.D, Modifiers: ConsoleModifiers.Control } when line.Count == 0:
                    output.WriteLine();
                    return null;
                case { Key: ConsoleKey.LeftArrow }:
                    cursor = Math.Max(cursor - 1, 0);
                    break;
                case { Key: ConsoleKey.RightArrow }:
                    cursor = Math.Min(cursor + 1, line.Count);
                    break;
                case { Key: ConsoleKey.Home } or { Key: ConsoleKey.A, Modifiers: ConsoleModifiers.Control }:
                    cursor = 0;
                    break;
                case { Key: ConsoleKey.End } or { Key: ConsoleKey.E, Modifiers: ConsoleModifiers.Control }:
                    cursor = line.Count;
                    break;
                case { Key: ConsoleKey.Backspace } when cursor > 0:
                    line.RemoveAt(--cursor);
                    break;
                case { Key: ConsoleKey.Delete }
                or { Key: ConsoleKey.D, Modifiers: ConsoleModifiers.Control } when cursor < line.Count:
                    line.RemoveAt(cursor);
                    break;
                case { Key: ConsoleKey.K, Modifiers: ConsoleModifiers.Control }:
                    line.RemoveRange(cursor, line.Count - cursor);
                    break;
                case { Key: ConsoleKey.U, Modifiers: ConsoleModifiers.Control }:
                    line.RemoveRange(0, cursor);
                    cursor = 0;
                    break;
                case { Key: ConsoleKey.W, Modifiers: ConsoleModifiers.Control }:
                    var start = StartOfWord();
                    line.RemoveRange(start, cursor - start);
                    cursor = start;
                    break;
                case { Key: ConsoleKey.UpArrow } when at > 0:
                    draft = at == history.Count ? Text() : draft;
                    Put(history[--at]);
                    break;
                case { Key: ConsoleKey.DownArrow } when at < history.Count:
                    at++;
                    Put(at == history.Count ? draft : history[at]);
                    break;
                case { KeyChar: var first } when char.IsHighSurrogate(first):
                    high = first;
                    break;
                case { KeyChar: var second } when high is { } before && char.IsLowSurrogate(second):
                    line.Insert(cursor++, new Rune(before, second));
                    high = null;
                    break;
                case { KeyChar: var other } when !char.IsControl(other) && !char.IsSurrogate(other):
                    line.Insert(cursor++, new Rune(other));
                    break;
            }
        }

        string Text() => string.Concat(line);

        void Put(string text)
        {
            line = [.. text.EnumerateRunes()];
            cursor = line.Count;
        }

        int StartOfWord()
        {
            var start = cursor;
            while (start > 0 && Rune.IsWhiteSpace(line[start - 1]))
            {
                start--;
            }

            while (start > 0 && !Rune.IsWhiteSpace(line[start - 1]))
            {
                start--;
            }

            return start;
        }

        void Draw()
        {
            // The last column stays free: some terminals wrap as soon as it is filled.
            var room = Math.Max(width() - 1 - TextWidth.Of(prompt), LeastWidth);
            var first = cursor;
            for (var columns = 0; first > 0 && (columns += TextWidth.Of($"{line[first - 1]}")) <= room;)
            {
                first--;
            }

            var before = string.Concat(line[first..cursor]);
            var after = new StringBuilder();
            var used = TextWidth.Of(before);
            foreach (var rune in line.Skip(cursor).TakeWhile(rune => (used += TextWidth.Of($"{rune}")) <= room))
            {
                after.Append(rune);
            }

            var all = $"{prompt}{before}{after}";
            output.Write($"\r{all}{new string(' ', Math.Max(shown - TextWidth.Of(all), 0))}\r{prompt}{before}");
            output.Flush();
            shown = TextWidth.Of(all);
        }
    }
}
