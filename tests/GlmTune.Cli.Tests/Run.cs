using GlmTune.Cli.Language;

namespace GlmTune.Cli;

/// <summary>A command line run in this process, and what it printed.</summary>
internal sealed record Run(int Code, string Output, string Error)
{
    /// <summary>Lines of the output.</summary>
    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>Runs a command line as though its streams were files.</summary>
    public static Task<Run> Of(params string[] arguments) => Of(null, arguments);

    /// <summary>The same, with messages in the language of a catalogue; null for English.</summary>
    public static async Task<Run> Of(Catalogue? catalogue, params string[] arguments)
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        var code = await CommandLine.RunAsync(
            arguments,
            new Screen(new StringReader(""), output, error) { Catalogue = catalogue },
            stop: TestContext.Current.CancellationToken
        );
        return new Run(code, output.ToString(), error.ToString());
    }

    /// <summary>A path in the repository.</summary>
    public static string InRepository(string relative) =>
        Path.GetFullPath(Path.Combine(GoldenData.Path(""), "..", "..", relative));
}
