using System.CommandLine;
using GlmTune.Cli.Help;
using GlmTune.Cli.Language;

namespace GlmTune.Cli.Tests.Language;

/// <summary>The Chinese entries against the English texts of the source.</summary>
public sealed class ChineseCatalogueTests(ITestOutputHelper output)
{
    // A new message may lack its translation for a while; this is how many may.
    private const double LeastShare = 0.92;

    // Texts of these uses are shown to people.
    private static readonly string[] Uses =
    [
        "new InvalidDataException",
        "new IOException",
        "new FileNotFoundException",
        "new DllNotFoundException",
        "AddError",
        "Note",
        "note",
        "NoEffect",
        "Nothing",
        "Unsupported",
        "NotSupported",
        "Problem",
        "Wrong",
    ];

    // Translated elsewhere, or never shown by the command line alone.
    private static readonly string[] Elsewhere = ["GlmTune.Server/", "GlmTune.Kernels/", "GlmTune.Constraints/"];

    private static IEnumerable<(string File, Template Entry)> Entries =>
        Directory
            .EnumerateFiles(Run.InRepository("src/GlmTune.Cli/Language/zh"), "*.txt")
            .Order(StringComparer.Ordinal)
            .SelectMany(file =>
            {
                using var reader = new StreamReader(file);
                return Catalogue.Read(reader).Select(entry => (Path.GetFileName(file), entry)).ToList();
            });

    [Fact]
    public void Every_entry_is_a_text_of_the_source()
    {
        var pieces = new SourcePieces(SourceTexts.All.Select(found => found.Text.Text));
        var lost = Entries
            .Where(entry => entry.File != "library.txt" && !entry.Entry.Literals.All(pieces.Hold))
            .Select(entry =>
                $"{entry.File}: '{entry.Entry.English}' is in no source file. If the message was reworded, reword the "
                + $"entry; otherwise remove it. Nearest: '{pieces.Nearest(entry.Entry.Literals)}'."
            )
            .ToList();
        Assert.True(lost.Count == 0, string.Join('\n', lost));
    }

    [Fact]
    public void No_entry_occurs_twice() =>
        Assert.Empty(
            Entries.GroupBy(entry => entry.Entry.English).Where(group => group.Count() > 1).Select(group => group.Key)
        );

    [Fact]
    public void The_program_holds_every_entry() =>
        Assert.Equal(
            Entries.Select(entry => entry.Entry.English).Order(StringComparer.Ordinal),
            Catalogue.Chinese.Templates.Select(entry => entry.English).Order(StringComparer.Ordinal)
        );

    [Fact]
    public void Help_is_wholly_chinese()
    {
        var texts = new List<string>();
        Collect(CommandLine.Root(new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null)), texts);
        var untold = texts.Distinct().Where(text => Catalogue.Chinese.Find(text) is null).ToList();
        Assert.True(untold.Count == 0, string.Join('\n', untold));
    }

    [Fact]
    public void Most_messages_have_an_entry()
    {
        // A hole stands for a value or for another message.
        var catalogue = new Catalogue([.. Catalogue.Chinese.Templates, new Template("7", "7")]);
        var texts = SourceTexts
            .All.Where(found =>
                Uses.Contains(found.Text.Use)
                && !found.Text.IsPart
                && !Elsewhere.Any(found.File.StartsWith)
                && found.Text.Text.Trim(SourceTexts.Hole).Contains(' ', StringComparison.Ordinal)
            )
            .DistinctBy(found => found.Text.Text)
            .ToList();
        var untold = texts.Where(found => !Found(catalogue, found.Text.Text)).ToList();
        output.WriteLine($"{texts.Count - untold.Count} of {texts.Count} messages are translated. Not yet:");
        foreach (var (file, text) in untold)
        {
            output.WriteLine($"{file}:{text.Line}: {text.Text.Replace(SourceTexts.Hole, '◌')}");
        }

        Assert.InRange((texts.Count - untold.Count) / (double)texts.Count, LeastShare, 1);
    }

    private static bool Found(Catalogue catalogue, string text) =>
        ((string[])["7", "", "7, 7", "'7'"]).Any(value =>
            text.Replace($"{SourceTexts.Hole}", value, StringComparison.Ordinal)
                .Split('\n')
                .Where(line => line.Trim().Length > 0)
                .All(line => catalogue.Find(line.Trim()) is not null)
        );

    private static void Collect(Command command, List<string> texts)
    {
        texts.Add(command.Description!);
        texts.AddRange(command.Arguments.Select(argument => argument.Description!));
        texts.AddRange(command.Options.Select(option => option.Description!.TrimEnd('.')));
        texts.AddRange(CommandGroups.Of(command).Where(group => group.Names.Length > 0).Select(group => group.Heading));
        foreach (var inner in command.Subcommands)
        {
            Collect(inner, texts);
        }
    }
}
