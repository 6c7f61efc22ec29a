using System.Text.Json;

namespace GlmTune.Cli.Commands;

public sealed class MetricsCommandTests
{
    private static readonly string[] Names = ["rouge-1", "rouge-2", "rouge-l", "bleu-4"];

    [Fact]
    public async Task Scores_of_golden_pairs_agree_and_their_means_come_last()
    {
        using var folder = new TemporaryFolder();
        using var golden = JsonDocument.Parse(File.ReadAllBytes(GoldenData.Path("metrics/own.json")));
        var rows = golden.RootElement.EnumerateArray().ToArray();
        var file = folder.Write(
            "predictions.jsonl",
            string.Join(
                '\n',
                rows.Select(row =>
                    JsonSerializer.Serialize(
                        new
                        {
                            prediction = row.GetProperty("prediction").GetString(),
                            label = row.GetProperty("label").GetString(),
                        }
                    )
                )
            )
        );
        var run = await Run.Of("metrics", file, "--json", "--per-row");
        Assert.Equal(0, run.Code);
        Assert.Equal(rows.Length + 1, run.Lines.Length);
        foreach (var name in Names)
        {
            var values = run
                .Lines.Select(line => JsonDocument.Parse(line).RootElement.GetProperty(name).GetDouble())
                .ToArray();
            Assert.All(
                rows.Zip(values),
                pair => Assert.Equal(pair.First.GetProperty(name).GetDouble(), pair.Second, 4)
            );
            Assert.Equal(values[..^1].Average(), values[^1], 9);
        }

        var means = await Run.Of("metrics", file, "--json");
        Assert.Equal(run.Lines[^1], means.Lines.Single());
    }

    [Fact]
    public async Task Without_json_the_scores_are_words_and_numbers()
    {
        using var folder = new TemporaryFolder();
        var file = folder.Write(
            "predictions.jsonl",
            "{\"prediction\": \"今天天气很好\", \"label\": \"今天天气很好\"}\n{\"prediction\": \"\", \"label\": \"好\"}\n"
        );
        var run = await Run.Of("metrics", file, "--per-row");
        Assert.Equal(3, run.Lines.Length);
        Assert.StartsWith(
            "rouge-1 100.0000  rouge-2 100.0000  rouge-l 100.0000",
            run.Lines[0],
            StringComparison.Ordinal
        );
        Assert.Equal("rouge-1 0.0000  rouge-2 0.0000  rouge-l 0.0000  bleu-4 0.0000", run.Lines[1]);
        Assert.StartsWith("rouge-1 50.0000", run.Lines[2], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_line_without_a_label_is_named()
    {
        using var folder = new TemporaryFolder();
        var run = await Run.Of(
            "metrics",
            folder.Write("predictions.jsonl", "{\"prediction\": \"a\", \"label\": \"a\"}\n{\"prediction\": \"a\"}\n")
        );
        Assert.Equal(2, run.Code);
        Assert.Contains("line 2: has no 'label'", run.Error, StringComparison.Ordinal);
    }
}
