using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;

namespace GlmTune.Server.Tests;

public sealed class RequestQueueTests
{
    private static readonly CancellationToken Never = CancellationToken.None;

    [Fact]
    public async Task Who_is_prepared_sooner_enters_sooner_and_a_place_is_not_held_by_work_on_a_prompt()
    {
        var queue = new RequestQueue(1, new ServerLimits());
        using var slow = queue.Arrive("a", 1);
        Assert.Equal((0, 1), (queue.Running, queue.Waiting));
        using var quick = queue.Arrive("b", 1);
        using var permit = await quick.EnterAsync(Never);
        Assert.Equal((1, 1), (queue.Running, queue.Waiting));
        var entering = slow.EnterAsync(Never);
        Assert.False(entering.IsCompleted);
        permit.Dispose();
        (await entering).Dispose();
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Requests_count_from_their_arrival_and_no_longer_than_they_are_there()
    {
        var queue = new RequestQueue(3, new ServerLimits { Waiting = 1 });
        var first = queue.Arrive("a", 2); // Two of the three permits will be its own; the next one would have to wait.
        var second = queue.Arrive("a", 2);
        Assert.Equal(
            StatusCodes.Status429TooManyRequests,
            Assert.Throws<ApiException>(() => queue.Arrive("b", 1)).Status
        );
        second.Dispose();
        second.Dispose();
        var third = queue.Arrive("b", 1);
        using (await first.EnterAsync(Never))
        using (await third.EnterAsync(Never))
        {
            Assert.Equal((3, 0), (queue.Running, queue.Waiting));
            using var fourth = queue.Arrive("b", 1);
            Assert.Equal(
                StatusCodes.Status429TooManyRequests,
                Assert.Throws<ApiException>(() => queue.Arrive("c", 1)).Status
            );
        }

        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
        using var all = queue.Arrive("c", 3);
        using var next = queue.Arrive("c", 1);
        queue.Close();
        Assert.Equal(
            StatusCodes.Status503ServiceUnavailable,
            (await Assert.ThrowsAsync<ApiException>(() => all.EnterAsync(Never))).Status
        );
        Assert.Equal(
            StatusCodes.Status503ServiceUnavailable,
            (await Assert.ThrowsAsync<ApiException>(() => next.PrepareAsync(() => 1, Never))).Status
        );
        Assert.Equal(
            StatusCodes.Status503ServiceUnavailable,
            Assert.Throws<ApiException>(() => queue.Arrive("c", 1)).Status
        );
    }

    [Fact]
    public async Task Prompts_are_prepared_a_few_at_a_time_and_clients_take_turns()
    {
        var queue = new RequestQueue(16, new ServerLimits { Preparing = 1 });
        using var go = new ManualResetEventSlim();
        var order = new List<string>();
        var first = Task.Run(() =>
            queue
                .Arrive("first", 1)
                .PrepareAsync(
                    () =>
                    {
                        order.Add("first");
                        go.Wait(Never);
                        return 0;
                    },
                    Never
                )
        );
        while (queue.Preparing == 0)
        {
            await Task.Yield();
        }

        var others = ((string, string)[])[("a", "a1"), ("a", "a2"), ("b", "b1")];
        var tasks = others
            .Select(one =>
                queue
                    .Arrive(one.Item1, 1)
                    .PrepareAsync(
                        () =>
                        {
                            Assert.Equal(1, queue.Preparing);
                            order.Add(one.Item2);
                            return 0;
                        },
                        Never
                    )
            )
            .ToList();
        Assert.All(tasks, task => Assert.False(task.IsCompleted));
        go.Set();
        await Task.WhenAll([first, .. tasks]);
        Assert.Equal(["first", "a1", "b1", "a2"], order);
        Assert.Equal((0, 4), (queue.Preparing, queue.Waiting));
    }

    [Fact]
    public async Task Clients_take_turns_whoever_came_first()
    {
        var queue = new RequestQueue(1, new ServerLimits());
        var running = await queue.EnterAsync("first", 1, Never);
        var order = new List<string>();
        var waiting = ((string, string)[])[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")];
        var tasks = waiting
            .Select(async one =>
            {
                var permit = await queue.EnterAsync(one.Item1, 1, Never);
                lock (order)
                {
                    order.Add(one.Item2);
                }

                permit.Dispose();
            })
            .ToList();
        Assert.Equal((1, 5), (queue.Running, queue.Waiting));
        running.Dispose();
        await Task.WhenAll(tasks);
        Assert.Equal(["a1", "b1", "c1", "a2", "a3"], order);
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Others_pass_a_request_for_several_answers_for_a_while_and_then_its_answers_enter_one_by_one()
    {
        var time = new FakeTimeProvider();
        var queue = new RequestQueue(4, new ServerLimits { PassingTime = TimeSpan.FromSeconds(5) }, time);
        var running = new List<IDisposable>();
        for (var i = 0; i < 3; i++)
        {
            running.Add(await queue.EnterAsync("a", 1, Never));
        }

        // One permit is free, which is not enough for three; others get it, the same client's and another's.
        var large = queue.EnterAsync("a", 3, Never);
        (await queue.EnterAsync("b", 1, Never)).Dispose();
        (await queue.EnterAsync("a", 1, Never)).Dispose();
        time.Advance(TimeSpan.FromSeconds(4.9));
        var other = await queue.EnterAsync("b", 1, Never);
        Assert.False(large.IsCompleted);
        other.Dispose();
        time.Advance(TimeSpan.FromSeconds(0.2));

        // Now the first of its answers begins, and no permit is empty.
        var permits = await large;
        Assert.Equal(4, queue.Running);
        var (begun, ends) = (new List<(int First, int Count)>(), new List<TaskCompletionSource<int>>());
        var answers = permits.MakeAsync(
            (first, count, _) =>
            {
                begun.Add((first, count));
                return Enumerable
                    .Range(first, count)
                    .Select(_ =>
                    {
                        ends.Add(new TaskCompletionSource<int>());
                        return ends[^1].Task;
                    });
            },
            Never
        );
        Assert.Equal([(0, 1)], begun);
        var waiting = queue.EnterAsync("b", 1, Never);
        running[0].Dispose();
        (await waiting).Dispose(); // A client with fewer permits comes first.
        running[1].Dispose();
        running[2].Dispose();
        ends[0].SetResult(10); // Given back at once, though the others are under way.
        while (ends.Count < 3)
        {
            await Task.Yield();
        }

        Assert.Equal(2, queue.Running);
        ends[2].SetResult(12);
        ends[1].SetResult(11);
        var made = await answers;
        Assert.Equal([10, 11, 12], made);
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Answers_that_have_places_together_begin_together_and_more_than_there_are_places_take_turns()
    {
        var queue = new RequestQueue(4, new ServerLimits());
        var begun = new List<(int First, int Count)>();
        var permits = await queue.EnterAsync("a", 6, Never);
        var answers = await permits.MakeAsync(
            (first, count, _) =>
            {
                begun.Add((first, count));
                Assert.InRange(queue.Running, 1, 4);
                return Enumerable.Range(first, count).Select(Task.FromResult);
            },
            Never
        );
        Assert.Equal([0, 1, 2, 3, 4, 5], answers);
        Assert.Equal((0, 4), begun[0]);
        Assert.Equal(0, queue.Running);
    }

    [Fact]
    public async Task An_answer_that_fails_ends_the_others_and_gives_all_places_back()
    {
        var queue = new RequestQueue(2, new ServerLimits());
        var permits = await queue.EnterAsync("a", 5, Never);
        var ended = 0;
        var error = await Assert.ThrowsAsync<InvalidDataException>(() =>
            permits.MakeAsync<int>(
                (first, count, stop) =>
                    Enumerable
                        .Range(first, count)
                        .Select(async answer =>
                        {
                            if (answer == 1)
                            {
                                await Task.Yield();
                                throw new InvalidDataException("the second");
                            }

                            try
                            {
                                await Task.Delay(Timeout.Infinite, stop);
                            }
                            finally
                            {
                                ended++;
                            }

                            return answer;
                        }),
                Never
            )
        );
        Assert.Equal(("the second", 1, 0), (error.Message, ended, queue.Running));
        using var stop = new CancellationTokenSource();
        permits = await queue.EnterAsync("a", 2, Never);
        var answers = permits.MakeAsync(
            (_, count, token) =>
                Enumerable.Range(0, count).Select(_ => Task.Delay(-1, token).ContinueWith(_ => 1, token)),
            stop.Token
        );
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answers);
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Too_many_are_turned_away_and_told_when_to_come_again()
    {
        var queue = new RequestQueue(1, new ServerLimits { Waiting = 3, WaitingOfOneClient = 2 });
        using var permit = await queue.EnterAsync("a", 1, Never);
        var waiting = new List<Task> { queue.EnterAsync("a", 1, Never), queue.EnterAsync("a", 1, Never) };
        var error = await Assert.ThrowsAsync<ApiException>(() => queue.EnterAsync("a", 1, Never));
        Assert.Equal((StatusCodes.Status429TooManyRequests, "rate_limit_exceeded"), (error.Status, error.Code));
        Assert.InRange(error.RetryAfterSeconds ?? 0, 1, 60);
        Assert.Equal("2 of your requests are waiting, and the limit per client is 2. Try again later.", error.Message);
        waiting.Add(queue.EnterAsync("b", 1, Never));
        error = await Assert.ThrowsAsync<ApiException>(() => queue.EnterAsync("c", 1, Never));
        Assert.Equal(StatusCodes.Status429TooManyRequests, error.Status);
        Assert.Equal(
            "The queue is full: 3 requests of all clients are waiting, and the server's limit is 3. Try again later.",
            error.Message
        );
        queue.Close();
        foreach (var task in waiting)
        {
            Assert.Equal(
                StatusCodes.Status503ServiceUnavailable,
                (await Assert.ThrowsAsync<ApiException>(() => task)).Status
            );
        }

        Assert.Equal(
            StatusCodes.Status503ServiceUnavailable,
            (await Assert.ThrowsAsync<ApiException>(() => queue.EnterAsync("a", 1, Never))).Status
        );
    }

    [Fact]
    public async Task By_default_one_client_may_use_the_whole_server_and_leaves_room_in_the_queue_for_others()
    {
        const int Slots = 256;
        var queue = new RequestQueue(Slots, new ServerLimits());
        var running = new List<AnswerPermits>();
        for (var i = 0; i < Slots; i++)
        {
            running.Add(await queue.EnterAsync("a", 1, Never));
        }

        var waiting = Enumerable.Range(0, 768).Select(_ => queue.Arrive("a", 1)).ToList();
        Assert.Throws<ApiException>(() => queue.Arrive("a", 1));
        var other = queue.EnterAsync("b", 1, Never); // Has its turn although the other client came first.
        var own = waiting[0].EnterAsync(Never);
        running[0].Dispose();
        (await other).Dispose();
        (await own).Dispose();
        running.ForEach(permits => permits.Dispose());
        waiting.ForEach(queued => queued.Dispose());
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Who_leaves_the_line_makes_room_for_the_next()
    {
        var queue = new RequestQueue(1, new ServerLimits());
        var permit = await queue.EnterAsync("a", 1, Never);
        using var gone = new CancellationTokenSource();
        var first = queue.EnterAsync("b", 1, gone.Token);
        var second = queue.EnterAsync("b", 1, Never);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        Assert.Equal(1, queue.Waiting);
        permit.Dispose();
        (await second).Dispose();
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }
}

/// <summary>A request whose prompt takes no time.</summary>
internal static class Entering
{
    public static async Task<AnswerPermits> EnterAsync(
        this RequestQueue queue,
        string client,
        int answers,
        CancellationToken cancellation
    )
    {
        using var queued = queue.Arrive(client, answers);
        return await queued.EnterAsync(cancellation);
    }
}
