namespace GlmTune.Cli;

public sealed class LineEditorTests : IDisposable
{
    private readonly StringWriter output = new();
    private readonly Queue<ConsoleKeyInfo> keys = new();
    private readonly LineEditor editor;
    private int width = 80;

    public LineEditorTests() => editor = new LineEditor(keys.Dequeue, output, () => width);

    public void Dispose() => output.Dispose();

    [Fact]
    public void A_line_is_edited_where_the_cursor_is()
    {
        Type("helo");
        Press(ConsoleKey.LeftArrow);
        Type("l");
        Press(ConsoleKey.Home);
        Press(ConsoleKey.Delete);
        Type("H");
        Press(ConsoleKey.End);
        Type("!?");
        Press(ConsoleKey.Backspace);
        Press(ConsoleKey.Enter);
        Assert.Equal("Hello!", editor.Read("You: "));
    }

    [Fact]
    public void Keys_of_shells_delete_words_and_ends()
    {
        Type("one two three");
        Press(ConsoleKey.W, control: true);
        Press(ConsoleKey.A, control: true);
        Press(ConsoleKey.RightArrow);
        Press(ConsoleKey.U, control: true);
        Press(ConsoleKey.E, control: true);
        Press(ConsoleKey.LeftArrow);
        Press(ConsoleKey.K, control: true);
        Press(ConsoleKey.Enter);
        Assert.Equal("ne two", editor.Read(""));
    }

    [Fact]
    public void Earlier_lines_come_back_and_so_does_the_one_that_was_begun()
    {
        foreach (var text in (string[])["first", "second", "second"])
        {
            Type(text);
            Press(ConsoleKey.Enter);
            Assert.Equal(text, editor.Read(""));
        }

        Type("draft");
        Press(ConsoleKey.UpArrow);
        Press(ConsoleKey.UpArrow);
        Press(ConsoleKey.UpArrow);
        Press(ConsoleKey.Enter);
        Assert.Equal("first", editor.Read(""));
        Type("draft");
        Press(ConsoleKey.UpArrow);
        Press(ConsoleKey.DownArrow);
        Press(ConsoleKey.Enter);
        Assert.Equal("draft", editor.Read(""));
    }

    [Theory]
    [InlineData(40), InlineData(12), InlineData(80)]
    public void A_long_line_never_leaves_its_row(int columns)
    {
        width = columns;
        Type(string.Concat(Enumerable.Repeat("你好 world 😀", 20)));
        Press(ConsoleKey.Home);
        Press(ConsoleKey.Enter);
        Assert.Equal(220, editor.Read("You: ")!.Length);
        Assert.All(
            output.ToString().TrimEnd().Split('\r'),
            drawn => Assert.True(Help.TextWidth.Of(drawn) < Math.Max(columns, 14), $"'{drawn}'")
        );
    }

    [Fact]
    public void The_end_of_input_is_Ctrl_D_in_an_empty_line()
    {
        Type("ab");
        Press(ConsoleKey.Home);
        Press(ConsoleKey.D, control: true);
        Press(ConsoleKey.Enter);
        Assert.Equal("b", editor.Read(""));
        Press(ConsoleKey.D, control: true);
        Assert.Null(editor.Read(""));
    }

    private void Type(string text)
    {
        foreach (var character in text)
        {
            keys.Enqueue(new ConsoleKeyInfo(character, ConsoleKey.None, false, false, false));
        }
    }

    private void Press(ConsoleKey key, bool control = false) =>
        keys.Enqueue(new ConsoleKeyInfo('\0', key, shift: false, alt: false, control));
}
