using Markdig;
using Markdig.Extensions.Tables;
using Markdig.Renderers.Html;
using Markdig.Syntax;
using Markdig.Syntax.Inlines;

namespace GlmTune.Repository.Tests;

/// <summary>A Markdown file of the repository, parsed.</summary>
/// <param name="file">Relative to the repository.</param>
/// <param name="text">Its text.</param>
internal sealed class MarkdownPage(string file, string text)
{
    private static readonly MarkdownPipeline Pipeline = new MarkdownPipelineBuilder()
        .UseAutoIdentifiers(Markdig.Extensions.AutoIdentifiers.AutoIdentifierOptions.GitHub)
        .UsePipeTables()
        .Build();

    private readonly MarkdownDocument document = Markdown.Parse(text, Pipeline);

    /// <summary>Reads a file.</summary>
    /// <param name="file">Relative to the repository.</param>
    public MarkdownPage(string file)
        : this(file, Checkout.Text(file)) { }

    /// <summary>Its path, relative to the repository.</summary>
    public string File => file;

    /// <summary>Files that links and images name, relative to the repository, with the heading after <c>#</c> if they
    /// name one.</summary>
    public IEnumerable<(string File, string? Heading)> Links => LinksIn(document).Where(IsLocal).Select(Target);

    /// <summary>What headings can be linked by.</summary>
    public IReadOnlyList<string> Headings =>
        [.. document.Descendants<HeadingBlock>().Select(heading => heading.GetAttributes().Id ?? "")];

    /// <summary>The text of each code block.</summary>
    public IReadOnlyList<string> CodeBlocks => [.. Codes(document).Select(code => code.Text)];

    /// <summary>Text set as code inside paragraphs and tables.</summary>
    public IEnumerable<string> InlineCode => InlineCodes(document);

    /// <summary>Its headings with what stands below each; the first has no heading if the page begins
    /// without one.</summary>
    public IEnumerable<MarkdownSection> Sections
    {
        get
        {
            HeadingBlock? heading = null;
            var blocks = new List<Block>();
            foreach (var block in document)
            {
                if (block is not HeadingBlock next)
                {
                    blocks.Add(block);
                    continue;
                }

                if (heading is not null || blocks.Count > 0)
                {
                    yield return Section(heading, blocks);
                }

                (heading, blocks) = (next, []);
            }

            yield return Section(heading, blocks);
        }
    }

    /// <summary>Whether an address leads to a file of the repository.</summary>
    public static bool IsLocal(string address) =>
        !address.Contains("://", StringComparison.Ordinal) && !address.StartsWith("mailto:", StringComparison.Ordinal);

    /// <summary>The file and heading that a local address on this page leads to.</summary>
    public (string File, string? Heading) Target(string address)
    {
        var parts = address.Split('#', 2);
        return (parts[0].Length == 0 ? file : Resolve(parts[0]), parts.ElementAtOrDefault(1));
    }

    private static MarkdownSection Section(HeadingBlock? heading, IReadOnlyList<Block> blocks) =>
        new(
            string.Concat(heading?.Inline?.Descendants<LiteralInline>().Select(part => part.ToString()) ?? []),
            heading?.Level ?? 0,
            [.. blocks.Select(Kind)],
            [.. blocks.SelectMany(Codes)],
            [.. blocks.OfType<Table>().SelectMany(table => table).Select(row => Sorted(InlineCodes(row)))],
            Sorted([
                .. blocks.Where(block => block is not Table).SelectMany(InlineCodes),
                .. heading is null ? [] : InlineCodes(heading),
            ]),
            [.. blocks.SelectMany(LinksIn)]
        );

    private static string Kind(Block block) =>
        block switch
        {
            ListBlock list => $"list of {list.Count} items",
            Table table => $"table of {table.Count} x {table.OfType<TableRow>().Max(row => row.Count)} cells",
            CodeBlock => "code block",
            _ => block.GetType().Name.Replace("Block", "", StringComparison.Ordinal).ToLowerInvariant(),
        };

    private static IEnumerable<CodeText> Codes(MarkdownObject part) =>
        Inside<CodeBlock>(part)
            .Select(block => new CodeText((block as FencedCodeBlock)?.Info ?? "", block.Lines.ToString()));

    private static IEnumerable<string> InlineCodes(MarkdownObject part) =>
        Inside<CodeInline>(part).Select(code => code.Content);

    private static IEnumerable<string> LinksIn(MarkdownObject part) =>
        Inside<LinkInline>(part).Select(link => Uri.UnescapeDataString(link.Url ?? ""));

    private static IEnumerable<T> Inside<T>(MarkdownObject part)
        where T : MarkdownObject =>
        part switch
        {
            T found => [found],
            LeafBlock leaf => leaf.Inline?.Descendants().OfType<T>() ?? [],
            _ => part.Descendants().OfType<T>(),
        };

    private static IReadOnlyList<string> Sorted(IEnumerable<string> words) =>
        [.. words.Distinct().Order(StringComparer.Ordinal)];

    private string Resolve(string link) =>
        Path.GetRelativePath(
                Checkout.Root,
                Path.GetFullPath(Path.Combine(Checkout.Root, Path.GetDirectoryName(file)!, link))
            )
            .Replace('\\', '/');
}
