using GlmTune.Cli.Language;

namespace GlmTune.Cli.Tests.Language;

public sealed class CatalogueTests
{
    private static readonly Catalogue Small = new([
        new Template("{where@}: {problem+}", "{where}：{problem}"),
        new Template("{file@}, line {line#}: {problem+}", "{file} 第 {line} 行：{problem}"),
        new Template("unknown key '{key}'", "未知的配置项 '{key}'"),
        new Template("unknown key '{key}'; did you mean '{near}'?", "未知的配置项 '{key}'；是否想写 '{near}'？"),
        new Template("file not found.", "文件不存在。"),
        new Template("Is it there?", "它在吗？"),
        new Template("{count#} rows, {more#} of them new", "{count} 条，其中 {more} 条是新的"),
        new Template("it failed: {reason*}", "失败：{reason}"),
        new Template("expected {expected+}", "应为{expected}"),
        new Template("a number", "数"),
        new Template("it is on {place+} now", "现在它在{place}上"),
        new Template("GPU {index#}", "GPU {index}"),
        new Template("{total#} ({parts+})", "{total}（{parts}）"),
        new Template("{first+}, {rest+}", "{first}，{rest}"),
        new Template("weights ({type}) {size#}", "权重（{type}）{size}"),
        new Template("null", "null"),
    ]);

    [Theory]
    [InlineData("file not found.", "文件不存在。")]
    [InlineData("file not found", "file not found")]
    [InlineData("a.yaml: file not found.", "a.yaml：文件不存在。")]
    [InlineData("data/my files/a.yaml, line 3: unknown key 'x'", "data/my files/a.yaml 第 3 行：未知的配置项 'x'")]
    [InlineData("a.yaml: unknown key 'x'; did you mean 'y'?", "a.yaml：未知的配置项 'x'；是否想写 'y'？")]
    [InlineData("a.yaml: unknown key 'x'.", "a.yaml：未知的配置项 'x'。")]
    [InlineData("a.yaml: file not found. Is it there?", "a.yaml：文件不存在。它在吗？")]
    [InlineData("1,234 rows, 5e-1 of them new", "1,234 条，其中 5e-1 条是新的")]
    [InlineData("expected a number", "应为数")]
    [InlineData("expected null", "应为 null")]
    [InlineData("it is on GPU 0 now", "现在它在 GPU 0 上")]
    [InlineData(
        "9 GiB (weights (bf16) 1.5 GiB, weights (f32) 2 MiB)",
        "9 GiB（权重（bf16）1.5 GiB，权重（f32）2 MiB）"
    )]
    [InlineData("it failed: file not found. Or so; who knows", "失败：file not found. Or so; who knows")]
    [InlineData("  a.yaml: file not found.  ", "  a.yaml：文件不存在。  ")]
    [InlineData("\ra.yaml: file not found.\n", "\ra.yaml：文件不存在。\n")]
    [InlineData(
        "a.yaml: file not found.\nb.yaml: else\nexpected a number",
        "a.yaml：文件不存在。\nb.yaml: else\n应为数"
    )]
    public void Messages_are_translated_line_by_line_and_keep_their_values(string english, string shown) =>
        Assert.Equal(shown, Small.Lines(english));

    [Theory]
    [InlineData("a.yaml: something else")]
    [InlineData("a.yaml: file not found. Something else.")]
    [InlineData("unknown key 'x'; write 'y'")]
    [InlineData("expected a list")]
    [InlineData("many rows, 5 of them new")]
    [InlineData("The run does not fit: file not found.")]
    [InlineData("")]
    [InlineData("\n\n")]
    public void A_line_that_is_not_known_as_a_whole_stays_english(string english) =>
        Assert.Equal(english, Small.Lines(english));

    [Fact]
    public void Values_are_never_translated()
    {
        Assert.Equal("未知的配置项 'a number'", Small.Lines("unknown key 'a number'"));
        Assert.Equal("失败：a number", Small.Lines("it failed: a number"));
    }

    [Fact]
    public void A_long_hostile_text_is_given_back_at_once()
    {
        var text = string.Concat(Enumerable.Repeat("a.b: c.d: e. ", 2000));
        Assert.Same(text, Small.Lines(text));
        var nested = string.Concat(Enumerable.Repeat("a: ", 1000));
        Assert.Equal(nested, Small.Lines(nested));
    }

    [Theory]
    [InlineData("{a} of {b}", "{a}")]
    [InlineData("{a} of", "{a} {b}")]
    [InlineData("{a} of {a}", "{a}")]
    [InlineData("{a}{b} of", "{a}{b}")]
    public void Holes_must_agree(string english, string translation) =>
        Assert.Throws<FormatException>(() => new Template(english, translation));

    [Theory]
    [InlineData("English")]
    [InlineData("English\nOther\n  其他")]
    [InlineData("  中文")]
    public void An_entry_is_a_line_and_its_translation(string file) =>
        Assert.Throws<FormatException>(() => Catalogue.Read(new StringReader(file)).ToList());

    [Fact]
    public void The_variable_wins_over_the_locale_and_the_locale_is_read_as_posix_says()
    {
        static bool IsChinese(params (string Name, string Value)[] variables) =>
            MessageLanguage.Of(name => variables.ToDictionary().GetValueOrDefault(name)) is not null;

        Assert.False(IsChinese());
        Assert.True(IsChinese(("GLMTUNE_LANG", "zh")));
        Assert.True(IsChinese(("LANG", "zh_CN.UTF-8")));
        Assert.True(IsChinese(("LC_MESSAGES", "zh_TW"), ("LANG", "C")));
        Assert.True(IsChinese(("LC_ALL", "zh_CN"), ("LC_MESSAGES", "C")));
        Assert.True(IsChinese(("LC_ALL", ""), ("LANG", "zh_CN")));
        Assert.False(IsChinese(("LC_ALL", "C"), ("LANG", "zh_CN")));
        Assert.False(IsChinese(("GLMTUNE_LANG", "en"), ("LC_ALL", "zh_CN")));
        Assert.False(IsChinese(("LANG", "de_DE.UTF-8")));
    }
}
