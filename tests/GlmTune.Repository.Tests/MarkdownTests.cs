using System.Text.RegularExpressions;

namespace GlmTune.Repository.Tests;

/// <summary>Checks links, paths and commands in the Markdown files.</summary>
public sealed partial class MarkdownTests
{
    public static TheoryData<string> Pages =>
        [.. Checkout.Files.Where(file => file.EndsWith(".md", StringComparison.Ordinal))];

    [Theory, MemberData(nameof(Pages))]
    public void Links_lead_somewhere(string page)
    {
        var dead = new MarkdownPage(page)
            .Links.Where(link => !Leads(link.File, link.Heading))
            .Select(link => $"{link.File}#{link.Heading}");
        Assert.Empty(dead);
    }

    [Theory, MemberData(nameof(Pages))]
    public void Commands_and_code_name_files_that_exist(string page)
    {
        var markdown = new MarkdownPage(page);
        var missing = markdown
            .CodeBlocks.Concat(markdown.InlineCode)
            .SelectMany(code => RepositoryPath().Matches(code).Select(match => match.Value.TrimEnd('.', ',', ':')))
            .Where(path => !Checkout.Has(path));
        Assert.Empty(missing.Distinct());
    }

    [Theory]
    [InlineData("docs/README.md", "docs/zh/")]
    [InlineData("docs/zh/README.md", null)]
    public void The_index_leads_to_every_page_of_the_documentation(string index, string? otherLanguage)
    {
        var linked = new MarkdownPage(index).Links.Select(link => link.File);
        var folder = index[..(index.LastIndexOf('/') + 1)];
        Assert.Empty(
            Pages
                .Select(page => (string)page)
                .Where(page => page.StartsWith(folder, StringComparison.Ordinal))
                .Where(page => otherLanguage is null || !page.StartsWith(otherLanguage, StringComparison.Ordinal))
                .Except([.. linked, index])
        );
    }

    [Fact]
    public void The_readme_shows_how_to_train_and_test()
    {
        var lines = new MarkdownPage("README.md").CodeBlocks.SelectMany(block => block.Split('\n')).ToArray();
        Assert.Contains(
            lines,
            line =>
                line.StartsWith("dotnet run -c Release --project src/GlmTune.Cli -- train ", StringComparison.Ordinal)
        );
        var ciRun = Checkout.Text(".ci/run");
        Assert.Contains(
            lines,
            line =>
                line.StartsWith("dotnet test", StringComparison.Ordinal)
                && ciRun.Contains($"\n{line} ", StringComparison.Ordinal)
        );
    }

    private static bool Leads(string file, string? heading) =>
        Checkout.Has(file) && (string.IsNullOrEmpty(heading) || new MarkdownPage(file).Headings.Contains(heading));

    // A path from the repository's own folders, up to a character that no file name here has.
    [GeneratedRegex(
        @"(?<![\w./-])(?:\.ci|benchmarks|configs|data|docs|models|src|tests|tools)/[\w./-]*\w(?![\w*<…]|/?\*)"
    )]
    private static partial Regex RepositoryPath();
}
