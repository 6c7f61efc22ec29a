using System.Text.Json;
using GlmTune.Evaluation.Metrics;

namespace GlmTune.Evaluation.Tests.Metrics;

public sealed class GenerationScoresTests
{
    [Fact]
    public void The_repositorys_pairs_score_as_the_reference_packages_score_them() =>
        AssertScores(GoldenData.Path("metrics/own.json"), atLeast: 160);

    [Fact]
    public void Advertisements_score_as_the_reference_packages_score_them() =>
        AssertScores(GoldenData.Shared("golden/metrics/advertisegen.json"), atLeast: 200);

    [Fact]
    public void Reported_scores_precision_and_recall_are_those_of_the_reference_packages()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(GoldenData.Shared("advertisegen/golden_metrics.json")));
        foreach (var row in json.RootElement.GetProperty("cases").EnumerateArray())
        {
            var scores = GenerationScores.Of(
                row.GetProperty("prediction").GetString()!.Trim(),
                row.GetProperty("reference").GetString()!.Trim()
            );
            var expected = row.GetProperty("rouge");
            Assert.Equal(expected.GetProperty("rouge-1").GetProperty("reported").GetDouble(), scores.Rouge1);
            Assert.Equal(expected.GetProperty("rouge-2").GetProperty("reported").GetDouble(), scores.Rouge2);
            Assert.Equal(expected.GetProperty("rouge-l").GetProperty("reported").GetDouble(), scores.RougeL);
            Assert.Equal(row.GetProperty("bleu4").GetDouble(), scores.Bleu4, 1e-12);

            var parts = Rouge.Score(Words(row, "prediction_tokens"), Words(row, "reference_tokens"));
            foreach (
                var (name, part) in new[]
                {
                    ("rouge-1", parts.Rouge1),
                    ("rouge-2", parts.Rouge2),
                    ("rouge-l", parts.RougeL),
                }
            )
            {
                Assert.Equal(expected.GetProperty(name).GetProperty("p").GetDouble(), part.Precision, 1e-12);
                Assert.Equal(expected.GetProperty(name).GetProperty("r").GetDouble(), part.Recall, 1e-12);
                Assert.Equal(expected.GetProperty(name).GetProperty("f").GetDouble(), part.F, 1e-12);
            }
        }
    }

    [Theory]
    [InlineData("", "你好")]
    [InlineData("你好", "")]
    [InlineData("", "")]
    [InlineData(" \n", "你好")]
    public void An_empty_side_scores_zero(string prediction, string label) =>
        Assert.Equal(new GenerationScores(0, 0, 0, 0), GenerationScores.Of(prediction, label));

    [Fact]
    public void The_mean_is_plain_and_the_order_is_kept()
    {
        var scores = GenerationScores.OfEach([
            ("你好", "你好"),
            ("", "你好"),
            ("你好", "你好！很高兴见到你。"),
            ("完全不同", "今天"),
        ]);
        var mean = GenerationScores.Mean(scores);

        Assert.Equal([100.0, 0, 25, 0], scores.Select(score => score.Rouge1));
        Assert.Equal(31.25, mean.Rouge1);
        Assert.Equal(scores.Sum(score => score.Bleu4) / 4, mean.Bleu4, 1e-15);
        Assert.Equal(["rouge-1", "rouge-2", "rouge-l", "bleu-4"], mean.ByName.Select(score => score.Key));
        Assert.Throws<ArgumentException>(() => GenerationScores.Mean([]));
    }

    private static void AssertScores(string path, int atLeast)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(path));
        var rows = json.RootElement.EnumerateArray().ToList();
        var scores = GenerationScores.OfEach([
            .. rows.Select(row => (row.GetProperty("prediction").GetString()!, row.GetProperty("label").GetString()!)),
        ]);

        Assert.True(rows.Count >= atLeast, $"Only {rows.Count} pairs.");
        for (var i = 0; i < rows.Count; i++)
        {
            Assert.Equal(rows[i].GetProperty("rouge-1").GetDouble(), scores[i].Rouge1);
            Assert.Equal(rows[i].GetProperty("rouge-2").GetDouble(), scores[i].Rouge2);
            Assert.Equal(rows[i].GetProperty("rouge-l").GetDouble(), scores[i].RougeL);
            Assert.Equal(rows[i].GetProperty("bleu-4").GetDouble(), scores[i].Bleu4, 1e-12);
        }
    }

    private static List<string> Words(JsonElement row, string name) =>
        [.. row.GetProperty(name).EnumerateArray().Select(word => word.GetString()!)];
}
