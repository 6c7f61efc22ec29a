using System.Text;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Templates;

/// <summary>Runs every example of <c>Templates/Specs/glm4.md</c>.</summary>
public partial class SpecTests
{
    private static readonly string Spec = File.ReadAllText(
        GoldenData.Path("../../src/GlmTune.Data/Templates/Specs/glm4.md")
    );

    // Tokens are single bytes here, so that a limit can be counted by eye.
    private static readonly Tokenizer Bytes = new(TinyTokenizer.Ranks[..256], SpecialTokens.After(256));

    public static TheoryData<int, string> Examples()
    {
        var examples = new TheoryData<int, string>();
        foreach (Match example in Example().Matches(Spec))
        {
            examples.Add(Spec.AsSpan(0, example.Index).Count('\n') + 2, example.Groups["block"].Value);
        }

        return examples;
    }

    [Fact]
    public void The_specification_has_examples() => Assert.True(Examples().Count >= 15);

    [Theory]
    [MemberData(nameof(Examples))]
    public void Example_holds(int line, string block)
    {
        var lines = block.TrimEnd('\n').Split('\n');
        Assert.True(lines is [_, ['.', ..], _], $"line {line}: expected a row, a dot with options, a sequence");
        var row = ConversationReader.Parse(
            new FileEntry(new RowPlace(line), Encoding.UTF8.GetBytes(lines[0])),
            "glm4.md"
        );
        Assert.Empty(row.Problems);

        var template = new Glm4Template(Bytes, Options(lines[1][1..]));
        var text = MarkedText.Of(template.RenderTraining(row.Conversation!).Single(), Bytes);

        Assert.Equal(lines[2], text.Replace('\n', '⏎'));
    }

    private static TemplateOptions Options(string text)
    {
        var options = new TemplateOptions { MaxInputTokens = 10_000 };
        foreach (var option in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            var value = option[(option.IndexOf('=') + 1)..];
            options = option[..option.IndexOf('=')] switch
            {
                "preset" => options with { Preset = TemplatePreset.Named(value) },
                "end" => options with { EndToken = value },
                "supervise" => options with
                {
                    SupervisedAnswers = Enum.Parse<SupervisedAnswers>(value, ignoreCase: true),
                },
                "calls" => options with { ToolCalls = Enum.Parse<ToolCallStyle>(value, ignoreCase: true) },
                "limit" => options with { MaxInputTokens = int.Parse(value) - 2, MaxOutputTokens = 1 },
                _ => throw new InvalidDataException($"Unknown option '{option}'."),
            };
        }

        return options;
    }

    [GeneratedRegex(@"^```\n(?<block>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Example();
}
