namespace GlmTune.Inference.Tests.Generating;

public class GenerationSchedulerTests
{
    [Fact]
    public async Task Answers_are_those_of_the_generator()
    {
        var model = new FakeLm(100, history => [.. Enumerable.Range(0, 100).Select(id => id == 0 ? -9f : MathF.Sin(id * history[^1]))]);
        var generator = new Generator(model, 100, new GenerationOptions { MaxNewTokens = 20 });
        var requests = Enumerable.Range(1, 12).Select(i => new GenerationRequest([i])
        {
            Options = i % 3 == 0 ? new() { NumBeams = 2 } : new() { DoSample = i % 3 == 1, Seed = i },
        }).ToList();
        using var scheduler = new GenerationScheduler(generator);
        var answers = await Task.WhenAll(requests.Select(request => Ids(scheduler, request)));
        Assert.Equal(requests.Select(request => generator.Generate(request).Generated.Select(token => token.Id)), answers);
    }

    [Fact]
    public async Task A_row_that_fails_leaves_the_others_alone()
    {
        using var scheduler = new GenerationScheduler(new Generator(FakeLm.Sure(50, _ => 7), 50, new GenerationOptions { MaxNewTokens = 50 }));
        var good = Enumerable.Range(0, 4).Select(_ => Task.Run(() => Ids(scheduler, new([1])))).ToList();
        var bad = Ids(scheduler, new([1]) { Mask = (answer, logits) => logits[..(answer.Length == 3 ? 50 : 0)].Fill(float.NegativeInfinity) });
        Assert.Contains("forbidden", (await Assert.ThrowsAsync<InvalidOperationException>(() => bad)).Message, StringComparison.Ordinal);
        Assert.All(await Task.WhenAll(good), ids => Assert.Equal(50, ids.Count));
    }

    [Fact]
    public async Task An_answer_nobody_waits_for_leaves_its_place()
    {
        // The model goes on only when nobody waits any more.
        using var left = new ManualResetEventSlim();
        var model = FakeLm.Sure(50, history =>
        {
            if (history.Length > 10)
            {
                left.Wait();
            }

            return 7;
        });
        using var scheduler = new GenerationScheduler(new Generator(model, 50, new GenerationOptions { MaxNewTokens = 3000 }, new GenerationLimits { Slots = 1 }));
        await foreach (var _ in scheduler.StreamAsync(new([1])))
        {
            break;
        }

        left.Set();
        Assert.Equal([7, 7], await Ids(scheduler, new([1]) { Options = new() { MaxNewTokens = 2 } }));
        Assert.InRange(model.PassSizes.Count, 1, 14);
    }

    [Fact]
    public async Task Disposal_ends_waiting_answers()
    {
        // The model goes on when disposal has begun, and has no time to come to an end.
        using var ending = new ManualResetEventSlim();
        var model = FakeLm.Sure(50, history =>
        {
            if (history.Length > 10)
            {
                ending.Wait();
                Thread.Sleep(5);
            }

            return 7;
        });
        var scheduler = new GenerationScheduler(new Generator(model, 50, new GenerationOptions { MaxNewTokens = 4000 }, new GenerationLimits { Slots = 1 }));
        var tasks = Enumerable.Range(0, 3).Select(_ => Ids(scheduler, new([1]))).ToList();
        ending.Set();
        scheduler.Dispose();
        foreach (var task in tasks)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => task);
        }

        await Assert.ThrowsAsync<ObjectDisposedException>(() => Ids(scheduler, new([1])));
    }

    private static async Task<List<int>> Ids(GenerationScheduler scheduler, GenerationRequest request)
    {
        var ids = new List<int>();
        await foreach (var token in scheduler.StreamAsync(request))
        {
            ids.Add(token.Id);
        }

        return ids;
    }
}
