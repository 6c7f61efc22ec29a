namespace GlmTune.Repository.Tests;

/// <summary>Keeps the Chinese pages in step with the English ones: structure, code and links, not wording.</summary>
public sealed class TranslationTests
{
    private const string English = """
        # Page

        [中文](zh/page.md)

        Set `seed`, or see [data](data.md#rows) and [a site](https://example.org/).

        ## Use

        ```sh
        run --seed 1    # one run
        run "a # b"
        ```

        | key | meaning |
        | --- | --- |
        | `seed` | a number, `42` by default |
        """;

    private const string Chinese = """
        # 页面

        [English](../page.md)

        设置 `seed`，或见[数据](data.md#样本)和[网站](https://example.org/)。

        ## 用法

        ```sh
        run --seed 1    # 运行一次
        run "a # b"
        ```

        | 配置项 | 含义 |
        | --- | --- |
        | `seed` | 整数，默认为 `42` |
        """;

    public static TheoryData<string> Translated => [.. Checkout.Files.Where(file => TranslationOf(file) is not null)];

    public static TheoryData<string> Translations =>
        [.. Checkout.Files.Where(file => file.StartsWith("docs/zh/", StringComparison.Ordinal))];

    [Theory, MemberData(nameof(Translated))]
    public void A_page_and_its_translation_have_the_same_structure_code_and_links(string page)
    {
        var translation = TranslationOf(page)!;
        Assert.True(Checkout.Has(translation), $"{page} has no Chinese page {translation}");
        AssertNone(
            new Translation(
                new MarkdownPage(page),
                new MarkdownPage(translation),
                TranslationOf,
                file => new MarkdownPage(file)
            ).Differences()
        );
    }

    [Theory, MemberData(nameof(Translations))]
    public void Every_translation_belongs_to_a_page(string translation) =>
        Assert.True(
            Checkout.Has($"docs/{translation["docs/zh/".Length..]}"),
            $"{translation} translates no page in docs/"
        );

    [Fact]
    public void Pages_that_differ_in_words_alone_are_in_step() => AssertNone(Differences(English, Chinese));

    [Theory]
    [InlineData("## 用法", "### 用法", "heading 2 is '### 用法'; docs/page.md has '## Use'")]
    [InlineData("## 用法\n", "", "heading 2 is 'nothing'; docs/page.md has '## Use'")]
    [InlineData("--seed 1 ", "--seed 2 ", "code block 1, line 1 is 'run --seed 2#…'; in English 'run --seed 1#…'")]
    [InlineData("    # 运行一次", "", "code block 1, line 1 is 'run --seed 1'; in English 'run --seed 1#…'")]
    [InlineData("a # b", "a # c", "code block 1, line 2 is 'run \"a # c\"'; in English 'run \"a # b\"'")]
    [InlineData("```sh", "```text", "code block 1 is 'text'; in English 'sh'")]
    [InlineData("\n| `seed` | 整数，默认为 `42` |", "", "the blocks are [code block, table of 1 x 2 cells]")]
    [InlineData("默认为 `42`", "默认为 `41`", "code in table row 1 missing: [42], not in English: [41]")]
    [InlineData("设置 `seed`", "设置", "code missing: [seed], not in English: []")]
    [InlineData("设置", "段落\n\n设置", "the blocks are [paragraph, paragraph, paragraph]")]
    [InlineData("(data.md#样本)", "(../data.md#rows)", "link missing: [docs/zh/data.md#样本]")]
    [InlineData("(data.md#样本)", "(data.md#其他)", "not in English: [docs/zh/data.md#其他]")]
    [InlineData("[English](../page.md)", "English", "link missing: [docs/page.md]")]
    [InlineData("https://example.org/", "https://example.com/", "link missing: [https://example.org/]")]
    public void A_difference_is_named(string old, string replacement, string expected)
    {
        var changed = Chinese.Replace(old, replacement, StringComparison.Ordinal);
        Assert.NotEqual(Chinese, changed);
        Assert.Contains(
            Differences(English, changed),
            difference => difference.Contains(expected, StringComparison.Ordinal)
        );
    }

    [Fact]
    public void The_glossary_needs_no_English_section() =>
        AssertNone(Differences(English, $"{Chinese}\n\n## {Translation.Glossary}\n\n| 中文 |\n| --- |\n"));

    private static IReadOnlyList<string> Differences(string english, string chinese) =>
        new Translation(
            new MarkdownPage("docs/page.md", english),
            new MarkdownPage("docs/zh/page.md", chinese),
            TranslationOf,
            file => new MarkdownPage(file, file == "docs/data.md" ? "# Data\n\n## Rows" : "# 数据\n\n## 样本")
        ).Differences();

    /// <summary>Where the Chinese version of a file belongs; null for a file that is not translated.</summary>
    private static string? TranslationOf(string file) =>
        file switch
        {
            "README.md" => "README_zh.md",
            _ when file.StartsWith("docs/", StringComparison.Ordinal)
                    && file.EndsWith(".md", StringComparison.Ordinal)
                    && file.LastIndexOf('/') == 4 => file.Insert(5, "zh/"),
            _ => null,
        };

    private static void AssertNone(IReadOnlyList<string> differences) =>
        Assert.True(differences.Count == 0, string.Join('\n', differences));
}
