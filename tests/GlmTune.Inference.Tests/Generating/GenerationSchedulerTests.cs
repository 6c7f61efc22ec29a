namespace GlmTune.Inference.Tests.Generating;

public class GenerationSchedulerTests
{
    [Fact]
    public async Task Answers_are_those_of_the_generator()
    {
        var model = new FakeLm(
            100,
            history => [.. Enumerable.Range(0, 100).Select(id => id == 0 ? -9f : MathF.Sin(id * history[^1]))]
        );
        var generator = new Generator(model, 100, new GenerationOptions { MaxNewTokens = 20 });
        var requests = Enumerable
            .Range(1, 12)
            .Select(i => new GenerationRequest([i])
            {
                Options = i % 3 == 0 ? new() { NumBeams = 2 } : new() { DoSample = i % 3 == 1, Seed = i },
            })
            .ToList();
        using var scheduler = new GenerationScheduler(generator);
        var answers = await Task.WhenAll(requests.Select(request => Ids(scheduler, request)));
        Assert.Equal(
            requests.Select(request => generator.Generate(request).Generated.Select(token => token.Id)),
            answers
        );
    }

    [Fact]
    public async Task A_row_that_fails_leaves_the_others_alone()
    {
        using var scheduler = new GenerationScheduler(
            new Generator(FakeLm.Sure(50, _ => 7), 50, new GenerationOptions { MaxNewTokens = 50 })
        );
        var good = Enumerable.Range(0, 4).Select(_ => Task.Run(() => Ids(scheduler, new([1])))).ToList();
        var bad = Ids(
            scheduler,
            new([1]) { Mask = (answer, allowed) => allowed.Fill(answer.Length == 3 ? 0 : uint.MaxValue) }
        );
        Assert.Contains(
            "forbidden",
            (await Assert.ThrowsAsync<NoTokenException>(() => bad)).Message,
            StringComparison.Ordinal
        );
        Assert.All(await Task.WhenAll(good), ids => Assert.Equal(50, ids.Count));
    }

    [Fact]
    public async Task An_answer_nobody_waits_for_leaves_its_place()
    {
        // The model goes on only when nobody waits any more.
        using var left = new ManualResetEventSlim();
        var model = FakeLm.Sure(
            50,
            history =>
            {
                if (history.Length > 10)
                {
                    left.Wait();
                }

                return 7;
            }
        );
        using var scheduler = new GenerationScheduler(
            new Generator(model, 50, new GenerationOptions { MaxNewTokens = 3000 }, new GenerationLimits { Slots = 1 })
        );
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
        var model = FakeLm.Sure(
            50,
            history =>
            {
                if (history.Length > 10)
                {
                    ending.Wait();
                    Thread.Sleep(5);
                }

                return 7;
            }
        );
        var scheduler = new GenerationScheduler(
            new Generator(model, 50, new GenerationOptions { MaxNewTokens = 4000 }, new GenerationLimits { Slots = 1 })
        );
        var tasks = Enumerable.Range(0, 3).Select(_ => Ids(scheduler, new([1]))).ToList();
        ending.Set();
        scheduler.Dispose();
        foreach (var task in tasks)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => task);
        }

        await Assert.ThrowsAsync<ObjectDisposedException>(() => Ids(scheduler, new([1])));
    }

    [Fact]
    public async Task Disposal_ends_a_beam_search_between_two_passes_and_those_that_wait_for_it()
    {
        using var begun = new ManualResetEventSlim();
        var model = new FakeLm(
            50,
            history =>
            {
                if (history.Length == 4)
                {
                    begun.Set();
                }

                return [.. Enumerable.Range(0, 50).Select(id => id == 0 ? -50f : id)]; // It does not stop by itself.
            }
        );
        var scheduler = new GenerationScheduler(
            new Generator(model, 50, new GenerationOptions { MaxNewTokens = 3000, NumBeams = 2 })
        );
        var tasks = Enumerable.Range(0, 3).Select(_ => Ids(scheduler, new([1]))).ToList();
        begun.Wait(TestContext.Current.CancellationToken);
        scheduler.Dispose();
        foreach (var task in tasks)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => task);
        }
    }

    [Fact]
    public async Task Other_answers_go_on_beside_a_beam_search_and_both_are_what_they_are_alone()
    {
        using var submitted = new ManualResetEventSlim();
        var passes = new List<char>();
        var model = new FakeLm(
            50,
            history =>
            {
                if (history[0] == 1)
                {
                    submitted.Wait(TestContext.Current.CancellationToken);
                }

                passes.Add(history[0] == 1 ? 'b' : 'g');
                return [.. Enumerable.Range(0, 50).Select(id => id == 0 ? -50f : MathF.Sin(id * history[^1]))];
            }
        );
        var generator = new Generator(model, 50, new GenerationOptions { MaxNewTokens = 30 });
        using var scheduler = new GenerationScheduler(generator);
        var (beams, greedy) = (
            new GenerationRequest([1]) { Options = new() { NumBeams = 2 } },
            new GenerationRequest([2]) { Options = new() { MaxNewTokens = 10 } }
        );
        var searched = Ids(scheduler, beams);
        var answered = Ids(scheduler, greedy);
        submitted.Set();
        var (long_, short_) = (await searched, await answered);

        // The search is three times as long: its last passes come after the other's last one.
        Assert.True(passes.LastIndexOf('g') < passes.LastIndexOf('b') - 10, new string([.. passes]));
        Assert.Equal(generator.Generate(beams).Generated.Select(token => token.Id), long_);
        Assert.Equal(generator.Generate(greedy).Generated.Select(token => token.Id), short_);
    }

    [Fact]
    public async Task A_beam_search_nobody_waits_for_is_ended()
    {
        using var gone = new CancellationTokenSource();
        var model = new FakeLm(
            50,
            history =>
            {
                if (history.Length == 4)
                {
                    gone.Cancel();
                }

                return [.. Enumerable.Range(0, 50).Select(id => id == 0 ? -50f : id)];
            }
        );
        using var scheduler = new GenerationScheduler(
            new Generator(model, 50, new GenerationOptions { MaxNewTokens = 3000 })
        );
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            Ids(scheduler, new([1, 2]) { Options = new() { NumBeams = 2 } }, gone.Token)
        );
        Assert.Equal(
            [49, 49],
            await Ids(
                scheduler,
                new([1])
                {
                    Options = new() { NumBeams = 2, MaxNewTokens = 2 },
                }
            )
        );
        Assert.InRange(model.PassSizes.Count, 3, 20);
    }

    [Fact]
    public async Task Prompts_that_come_together_and_are_alike_are_read_once()
    {
        var model = new FakeLm(
            100,
            history => [.. Enumerable.Range(0, 100).Select(id => id == 0 ? -9f : MathF.Sin(id * history[^1]))]
        );
        int[] prompt = [.. Enumerable.Range(1, 40)];
        var requests = Enumerable
            .Range(0, 5)
            .Select(i => new GenerationRequest(prompt)
            {
                Options = new()
                {
                    DoSample = i > 0,
                    TopK = i % 2 * 10,
                    Seed = i,
                    MaxNewTokens = 12,
                },
                LogProbabilities = i == 3,
            })
            .ToList();
        using var scheduler = new GenerationScheduler(new Generator(model, 100));
        var answers = await Task.WhenAll(
            scheduler.StreamAll(requests).Select(async tokens => await tokens.ToListAsync())
        );
        Assert.Equal([40, .. Enumerable.Repeat(5, 11)], model.PassTokens);
        Assert.Equal([0, 40, 40, 40, 40], answers.Select(answer => answer[0].CachedTokens));
        var alone = new Generator(model, 100);
        Assert.Equal(
            requests.Select(request => alone.Generate(request).Generated.Select(token => token.Id)),
            answers.Select(answer => answer.Select(token => token.Id))
        );
        Assert.Equal(
            5,
            answers.Select(answer => string.Join(' ', answer.Select(token => token.Id))).Distinct().Count()
        );
    }

    private static async Task<List<int>> Ids(
        GenerationScheduler scheduler,
        GenerationRequest request,
        CancellationToken cancellation = default
    )
    {
        var ids = new List<int>();
        await foreach (var token in scheduler.StreamAsync(request, cancellation))
        {
            ids.Add(token.Id);
        }

        return ids;
    }
}
