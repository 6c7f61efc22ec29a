using GlmTune.Cli.Help;

namespace GlmTune.Cli;

/// <summary>A line of progress on standard error: on a terminal each text replaces the last one and never wraps,
/// elsewhere each is a line.</summary>
/// <param name="screen">The terminal.</param>
internal sealed class ProgressLine(Screen screen) : IDisposable
{
    private int shown;

    /// <summary>Whether a text replaces the last one.</summary>
    public bool Redraws => screen.IsTerminal;

    /// <summary>Shows a text, shortened to the width of the terminal.</summary>
    public void Show(string text)
    {
        text = screen.Translated(text);
        if (!Redraws)
        {
            screen.Error.WriteLine(text);
            return;
        }

        // The last column stays free: some terminals wrap as soon as it is filled.
        text = TextWidth.Cut(text, screen.Width - 1);
        var width = TextWidth.Of(text);
        screen.Error.Write($"\r{text}{new string(' ', Math.Max(shown - width, 0))}");
        shown = width;
    }

    /// <summary>Removes the text from a terminal, so that a line can be printed.</summary>
    public void Clear()
    {
        if (shown > 0)
        {
            screen.Error.Write($"\r{new string(' ', shown)}");
            screen.Error.Write("\r");
            shown = 0;
        }
    }

    public void Dispose() => Clear();
}
