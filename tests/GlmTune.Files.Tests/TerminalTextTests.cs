namespace GlmTune.Files.Tests;

/// <summary>No text of others commands the terminal.</summary>
public sealed class TerminalTextTests
{
    [Theory]
    [InlineData("\u001b[31mred", "\\u001b[31mred")]
    [InlineData("\u001b]8;;http://x\u0007link", "\\u001b]8;;http://x\\u0007link")] // OSC 8: a link
    [InlineData("\u001b]52;c;eA==\u001b\\", "\\u001b]52;c;eA==\\u001b\\")] // OSC 52: the clipboard
    [InlineData("\u009b2J\u0085\u007f\b", "\\u009b2J\\u0085\\u007f\\u0008")] // C1 and others without an escape
    [InlineData("a\rb", "a\\u000db")]
    [InlineData("a\u202eb\u2066c\u2069", "a\\u202eb\\u2066c\\u2069")] // text that reads backwards
    [InlineData("一\tb\nc 👩‍🚀 é", "一\tb\nc 👩‍🚀 é")]
    public void Codes_are_spelt_out_and_text_stays(string text, string shown) =>
        Assert.Equal(shown, TerminalText.Lines(text));

    [Fact]
    public void One_line_has_neither_breaks_nor_invisible_characters() =>
        Assert.Equal("a\\nb\\tc\\u200bd\\u2028e", TerminalText.Visible("a\nb\tc\u200bd\u2028e"));

    [Fact]
    public void Every_control_character_is_escaped()
    {
        for (var c = '\0'; c < '\u00a0'; c++)
        {
            Assert.Equal(!char.IsControl(c) || c is '\n' or '\t', TerminalText.Lines($"{c}") == $"{c}");
        }
    }
}
