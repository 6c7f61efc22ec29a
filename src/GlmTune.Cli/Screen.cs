using System.Text;
using GlmTune.Cli.Language;
using Microsoft.Win32.SafeHandles;
using Spectre.Console;

namespace GlmTune.Cli;

/// <summary>Input and output of a command: data on one stream, notes on the other, and whether they are
/// terminals.</summary>
/// <param name="Input">Typed or piped input.</param>
/// <param name="Output">Data and answers.</param>
/// <param name="Error">Notes and errors.</param>
internal sealed record Screen(TextReader Input, TextWriter Output, TextWriter Error)
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);
    private IAnsiConsole? console;
    private TextWriter? lines;

    /// <summary>Whether output goes to a terminal, where lines can be redrawn.</summary>
    public bool IsTerminal { get; init; }

    /// <summary>Whether output may be coloured: on a terminal, unless <c>NO_COLOR</c> is set.</summary>
    public bool HasColor { get; init; }

    /// <summary>Whether input is typed at a terminal.</summary>
    public bool InputIsTyped { get; init; }

    /// <summary>Reads lines with editing and history after a prompt; null where input is not typed at a
    /// terminal.</summary>
    public LineEditor? Editor { get; init; }

    /// <summary>Columns of the terminal; unlimited elsewhere.</summary>
    public int Width { get; init; } = int.MaxValue;

    /// <summary>Translates messages; null for English. Data, answers and JSON are never translated.</summary>
    public Catalogue? Catalogue { get; init; }

    /// <summary><see cref="Output"/> for what the program itself says there, such as the end of a run or a table's
    /// headings: it is translated.</summary>
    public TextWriter Lines => Catalogue is null ? Output : lines ??= new TranslatedWriter(Output, Catalogue);

    /// <summary>Tables, colours and progress bars on <see cref="Output"/>; for terminals only, because it wraps lines
    /// at the width.</summary>
    public IAnsiConsole Console =>
        console ??= AnsiConsole.Create(
            new AnsiConsoleSettings
            {
                Out = new AnsiConsoleOutput(Output is TerminalWriter guarded ? guarded.Inner : Output),
                Ansi = IsTerminal ? AnsiSupport.Yes : AnsiSupport.No,
                ColorSystem = HasColor ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
                Interactive = IsTerminal ? InteractionSupport.Yes : InteractionSupport.No,
            }
        );

    /// <summary>The same streams, guarded against terminal control codes in quoted text.</summary>
    public Screen Guarded()
    {
        var error = new TerminalWriter(Error, redraws: true);
        return this with
        {
            Output = new TerminalWriter(Output),
            Error = Catalogue is null ? error : new TranslatedWriter(error, Catalogue),
        };
    }

    /// <summary>A message in the language of the user.</summary>
    public string Translated(string message) => Catalogue?.Lines(message) ?? message;

    /// <summary>The process's own streams; any that is not a terminal uses UTF-8, whatever the locale.</summary>
    public static Screen OfProcess()
    {
        // Asking for the width sends keypad codes too, so a rank's terminal is not asked.
        var (isTyped, isTerminal) = (
            !System.Console.IsInputRedirected,
            !System.Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb"
        );
        return new Screen(
            System.Console.IsInputRedirected
                ? new StreamReader(System.Console.OpenStandardInput(), Utf8)
                : System.Console.In,
            Direct(1)
                ?? (
                    System.Console.IsOutputRedirected ? Writer(System.Console.OpenStandardOutput()) : System.Console.Out
                ),
            Direct(2)
                ?? (
                    System.Console.IsErrorRedirected ? Writer(System.Console.OpenStandardError()) : System.Console.Error
                )
        )
        {
            IsTerminal = isTerminal,
            HasColor = isTerminal && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")),
            InputIsTyped = isTyped,
            Width = isTerminal && isTyped && System.Console.WindowWidth is > 0 and var width ? width : int.MaxValue,
            Editor =
                isTerminal && isTyped
                    ? new LineEditor(
                        () => System.Console.ReadKey(intercept: true),
                        System.Console.Out,
                        () => System.Console.WindowWidth
                    )
                    : null,
            Catalogue = MessageLanguage.Of(Environment.GetEnvironmentVariable),
        };
    }

    // Before its first output, the runtime's console sends keypad codes to whichever stream it uses. This avoids it on
    // a terminal without a user, such as the one that mpirun gives each rank. Files are left to the console, because
    // all writers must share one position.
    private static TextWriter? Direct(int handle)
    {
        if (!System.Console.IsInputRedirected || System.Console.IsOutputRedirected || OperatingSystem.IsWindows())
        {
            return null;
        }

        var stream = new FileStream(new SafeFileHandle(handle, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        return stream.CanSeek ? null : Writer(stream);
    }

    private static TextWriter Writer(Stream stream) =>
        TextWriter.Synchronized(new StreamWriter(stream, Utf8, bufferSize: 1 << 14) { AutoFlush = true });
}
