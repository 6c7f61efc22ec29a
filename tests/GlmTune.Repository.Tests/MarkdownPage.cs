using Markdig;
using Markdig.Renderers.Html;
using Markdig.Syntax;
using Markdig.Syntax.Inlines;

namespace GlmTune.Repository.Tests;

/// <summary>A Markdown file of the repository, parsed.</summary>
/// <param name="file">Relative to the repository.</param>
internal sealed class MarkdownPage(string file)
{
    private static readonly MarkdownPipeline Pipeline = new MarkdownPipelineBuilder()
        .UseAutoIdentifiers(Markdig.Extensions.AutoIdentifiers.AutoIdentifierOptions.GitHub)
        .UsePipeTables()
        .Build();

    private readonly MarkdownDocument document = Markdown.Parse(Checkout.Text(file), Pipeline);

    /// <summary>Files that links and images name, relative to the repository, with the heading after <c>#</c> if they
    /// name one.</summary>
    public IEnumerable<(string File, string? Heading)> Links =>
        document
            .Descendants<LinkInline>()
            .Select(link => Uri.UnescapeDataString(link.Url ?? ""))
            .Where(url =>
                !url.Contains("://", StringComparison.Ordinal) && !url.StartsWith("mailto:", StringComparison.Ordinal)
            )
            .Select(url => url.Split('#', 2))
            .Select(parts => (parts[0].Length == 0 ? file : Resolve(parts[0]), parts.ElementAtOrDefault(1)));

    /// <summary>What headings can be linked by.</summary>
    public IEnumerable<string> Headings =>
        document.Descendants<HeadingBlock>().Select(heading => heading.GetAttributes().Id ?? "");

    /// <summary>The text of each code block.</summary>
    public IReadOnlyList<string> CodeBlocks =>
        [.. document.Descendants<CodeBlock>().Select(block => block.Lines.ToString())];

    /// <summary>Text set as code inside paragraphs and tables.</summary>
    public IEnumerable<string> InlineCode => document.Descendants<CodeInline>().Select(code => code.Content);

    private string Resolve(string link) =>
        Path.GetRelativePath(
                Checkout.Root,
                Path.GetFullPath(Path.Combine(Checkout.Root, Path.GetDirectoryName(file)!, link))
            )
            .Replace('\\', '/');
}
