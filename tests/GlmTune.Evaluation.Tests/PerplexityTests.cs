using GlmTune.Data.Templates;
using GlmTune.Inference.Tests;
using GlmTune.Model;
using GlmTune.Testing;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Evaluation.Tests;

public class PerplexityTests
{
    [Theory]
    [InlineData("model-hf", 1)]
    [InlineData("model-hf", 2)]
    [InlineData("model-hf", 100)]
    [InlineData("model-chatglm", 100)]
    public void The_loss_of_a_split_is_the_reference_loss_however_rows_are_put_together(string folder, int rows)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(GoldenData.Path($"glm-tiny/{folder}"), ScalarType.Float32, CPU);
        using var expected = WeightFiles.Open(GoldenData.Path("glm-tiny/expected.safetensors"));
        var batch = GoldenBatch.Read(GoldenData.Path("glm-tiny/batch.json"));
        var examples = batch.Ids.Select((_, row) => Example(batch, row)).ToList();
        var loss = Perplexity.Of(model, examples, rows);
        Assert.Equal(examples.Sum(example => example.SupervisedTokens), loss.Tokens);
        Assert.Equal(expected.Get("base.loss").item<float>(), loss.Mean, 2e-5);
        Assert.Equal(Math.Exp(loss.Mean), loss.Perplexity);
    }

    [Fact]
    public void Each_supervised_token_weighs_the_same_and_is_predicted_from_what_stands_before_it()
    {
        // A token is as likely as its distance from the sum of all before it says.
        var model = new FakeLm(
            50,
            history => [.. Enumerable.Range(0, 50).Select(id => -0.1f * Math.Abs(id - (history.Sum() % 50)))]
        );
        var random = new Random(7);
        List<TokenizedExample> examples = [];
        for (var i = 0; i < 13; i++)
        {
            int[] ids = [.. Enumerable.Range(0, random.Next(6, 30)).Select(_ => random.Next(50))];
            examples.Add(
                new TokenizedExample(ids, [(1, 2), (4, ids.Length)]) { FullLength = ids.Length, LostItsEnd = false }
            );
        }

        var places = examples
            .SelectMany(example =>
                example.Supervised.SelectMany(stretch =>
                    Enumerable
                        .Range(stretch.Start, stretch.End - stretch.Start)
                        .Select(place => (example.TokenIds, place))
                )
            )
            .ToList();
        var expected = places.Average(at =>
            -(double)model.LogProbabilities(at.TokenIds[..at.place])[at.TokenIds[at.place]]
        );
        var done = new List<int>();
        var loss = Perplexity.Of(model, examples, 5, done.Add);
        Assert.Equal(places.Count, loss.Tokens);
        Assert.Equal(expected, loss.Mean, 1e-6);
        Assert.Equal([5, 10, 13], done);
        Assert.Equal([5, 5, 3], model.PassSizes);
    }

    [Fact]
    public void Parts_add_up()
    {
        var loss = new LossTotal(6, 3) + new LossTotal(2, 5);
        Assert.Equal(1, loss.Mean);
        Assert.Equal(Math.E, loss.Perplexity, 1e-12);
    }

    [Fact]
    public void It_ends_when_asked_to()
    {
        using var stop = new CancellationTokenSource();
        var examples = Enumerable
            .Repeat(new TokenizedExample([1, 2], [(1, 2)]) { FullLength = 2, LostItsEnd = false }, 5)
            .ToList();
        var model = FakeLm.Sure(5, _ => 2);
        Assert.Throws<OperationCanceledException>(() =>
            Perplexity.Of(
                model,
                examples,
                1,
                done =>
                {
                    if (done == 2)
                    {
                        stop.Cancel();
                    }
                },
                stop.Token
            )
        );
        Assert.Equal(2, model.PassSizes.Count);
    }

    private static TokenizedExample Example(GoldenBatch batch, int row)
    {
        var first = Array.IndexOf(batch.Mask[row], 1);
        var ids = batch.Ids[row][first..];
        var labels = batch.Labels[row][first..];
        var supervised = Enumerable
            .Range(1, ids.Length - 1)
            .Where(place => labels[place] != -100)
            .Select(place => (place, place + 1))
            .ToList();
        return new TokenizedExample(ids, supervised) { FullLength = ids.Length, LostItsEnd = false };
    }
}
