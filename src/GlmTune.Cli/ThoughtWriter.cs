using GlmTune.Files;

namespace GlmTune.Cli;

/// <summary>Shows a model's thoughts while they are generated: dimmed on a terminal with colors, between
/// <c>&lt;think&gt;</c> and <c>&lt;/think&gt;</c> elsewhere.</summary>
/// <param name="screen">The user's terminal.</param>
/// <param name="output">Where they are written; null: they are not shown.</param>
internal sealed class ThoughtWriter(Screen screen, TextWriter? output)
{
    private const string Dim = "\e[2m";
    private const string Normal = "\e[22m";

    // Our own control codes pass the guard, the model's do not.
    private readonly TextWriter? direct = output is TerminalWriter guarded ? guarded.Inner : output;
    private bool isOpen;

    /// <summary>Shows new text of the thoughts; it cannot control the terminal.</summary>
    public async Task WriteAsync(string text)
    {
        if (direct is null)
        {
            return;
        }

        var shown = TerminalText.Lines(text);
        var opening = isOpen || screen.HasColor ? "" : "<think>\n";
        isOpen = true;
        await direct.WriteAsync(screen.HasColor ? $"{Dim}{shown}{Normal}" : $"{opening}{shown}").ConfigureAwait(false);
        await direct.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>Ends the thoughts, if there were any, before the answer.</summary>
    public async Task EndAsync()
    {
        if (isOpen)
        {
            isOpen = false;
            await direct!.WriteAsync(screen.HasColor ? "\n\n" : "\n</think>\n").ConfigureAwait(false);
        }
    }
}
