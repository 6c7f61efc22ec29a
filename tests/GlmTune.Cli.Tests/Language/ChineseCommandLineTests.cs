using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Cli.Language;

namespace GlmTune.Cli.Tests.Language;

/// <summary>What a person who asks for Chinese sees, and what stays English for programs.</summary>
public sealed partial class ChineseCommandLineTests
{
    private static readonly string Ads = Run.InRepository("data/ads");
    private static readonly string Nano = Run.InRepository("models/glm-nano");
    private static readonly string Recipe = Run.InRepository("configs/lora-nano.yaml");

    // A command line whose problems come from the parser below the program, or from the program.
    [Theory]
    [InlineData("trian", "glmtune 没有命令 'trian'；是否想用 'train'？")]
    [InlineData(
        "train a b c --max_steps 3",
        "'--max_steps' 是配置文件中的配置项；请写成 --set training_args.max_steps=3"
    )]
    [InlineData("train a", "命令 'train' 缺少参数 'MODEL'。")]
    [InlineData("serve a --port x", "--port：'x' 无效，应为 0 到 65535 之间的整数。")]
    [InlineData("serve a --port", "选项 '--port' 缺少值。")]
    [InlineData("eval a b c --split foo", "--split：'foo' 无效，应为以下之一：'train' 'val' 'test'")]
    [InlineData("data convert a b", "必须给出选项 '--from'。")]
    [InlineData("chat a --seed 1 2", "glmtune chat 多出了参数 '2'；运行 `glmtune chat --help` 查看用法。")]
    [InlineData("bench", "请使用下列命令之一。")]
    [InlineData("chat nowhere", "nowhere：目录不存在；应为模型目录，或 Hub id，例如 THUDM/glm-4-9b-chat。")]
    [InlineData("metrics nowhere.jsonl", "nowhere.jsonl：文件不存在。")]
    public async Task Wrong_command_lines_are_told_in_chinese(string arguments, string expected)
    {
        var run = await Run.Of(Catalogue.Chinese, arguments.Split(' '));
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.DoesNotMatch(EnglishWord(), run.Error.Split('\n')[0]);
    }

    [Fact]
    public async Task Problems_of_a_recipe_are_told_line_by_line_with_their_values()
    {
        using var folder = new TemporaryFolder();
        var recipe = folder.Write(
            "a.yaml",
            (await File.ReadAllTextAsync(Recipe, TestContext.Current.CancellationToken))
                .Replace("lora_alpha", "lora_alfa", StringComparison.Ordinal)
                .Replace("learning_rate:", "learning_rate: fast #", StringComparison.Ordinal)
        );
        var run = await Run.Of(Catalogue.Chinese, "data", "check", Ads, Nano, recipe);
        Assert.Equal(2, run.Code);
        Assert.Matches("第 [0-9]+ 行：'training_args.learning_rate' 是 'fast'；应为不小于 0 的数", run.Error);
        Assert.Matches("第 [0-9]+ 行：未知的配置项 'peft_config.lora_alfa'；是否想写 'lora_alpha'？", run.Error);
    }

    [Fact]
    public async Task Text_of_a_file_is_shown_as_it_is()
    {
        using var folder = new TemporaryFolder();
        var file = folder.Write("a number.jsonl", """{"prediction": "file not found.", "label": 1}""");
        var run = await Run.Of(Catalogue.Chinese, "metrics", file);
        Assert.StartsWith($"{file} 第 1 行：", run.Error, StringComparison.Ordinal);

        var shown = await Run.Of(Catalogue.Chinese, "tokenize", Nano, "--text", "Stopped.");
        Assert.Equal((await Run.Of("tokenize", Nano, "--text", "Stopped.")).Output, shown.Output);
    }

    [Fact]
    public async Task Json_and_what_stands_beside_it_are_english()
    {
        string[] wrong = ["data", "check", "nowhere", Nano, Recipe, "--json"];
        Assert.Equal(await Run.Of(wrong), await Run.Of(Catalogue.Chinese, wrong));

        string[] right = ["model", "info", Nano, "--json"];
        var run = await Run.Of(Catalogue.Chinese, right);
        Assert.Equal(await Run.Of(right), run);
        Assert.NotNull(JsonNode.Parse(run.Output));
    }

    [Fact]
    public async Task Exit_codes_and_figures_do_not_depend_on_the_language()
    {
        string[] check = ["data", "check", Ads, Nano, Recipe];
        var (english, chinese) = (await Run.Of(check), await Run.Of(Catalogue.Chinese, check));
        Assert.Equal(english.Code, chinese.Code);
        Assert.Equal(Figures(english), Figures(chinese));
        Assert.Contains("条样本", chinese.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_internal_error_keeps_its_trace()
    {
        var error = new StringWriter();
        var screen = new Screen(TextReader.Null, TextWriter.Null, error) { Catalogue = Catalogue.Chinese };
        Assert.Equal(1, ExitCode.Report(new InvalidOperationException("unlikely"), screen.Guarded().Error));
        Assert.StartsWith("内部错误。", error.ToString(), StringComparison.Ordinal);
        Assert.Contains("InvalidOperationException: unlikely", error.ToString(), StringComparison.Ordinal);
        await Task.CompletedTask;
    }

    private static string[] Figures(Run run) =>
        [
            .. Number()
                .Matches(run.Output.Replace("p95", "", StringComparison.Ordinal))
                .Select(match => match.Value)
                .Order(),
        ];

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Number();

    // What is left of an English sentence; options, names and values are in quotes or capitals.
    [GeneratedRegex(@"\b(is|not|the|expected|unknown|missing|of)\b")]
    private static partial Regex EnglishWord();
}
