using Microsoft.AspNetCore.Http;

namespace GlmTune.Server.Tests;

public sealed class RequestQueueTests
{
    private static readonly CancellationToken Never = CancellationToken.None;

    [Fact]
    public async Task Clients_take_turns_whoever_came_first()
    {
        var queue = new RequestQueue(1, new ServerLimits());
        var running = await queue.EnterAsync("first", 1, Never);
        var order = new List<string>();
        var waiting = ((string, string)[])[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")];
        var tasks = waiting.Select(async one =>
        {
            var place = await queue.EnterAsync(one.Item1, 1, Never);
            lock (order)
            {
                order.Add(one.Item2);
            }

            place.Dispose();
        }).ToList();
        Assert.Equal((1, 5), (queue.Running, queue.Waiting));
        running.Dispose();
        await Task.WhenAll(tasks);
        Assert.Equal(["a1", "b1", "c1", "a2", "a3"], order);
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task A_request_for_several_answers_waits_for_as_many_places_and_is_not_overtaken()
    {
        var queue = new RequestQueue(3, new ServerLimits());
        var one = await queue.EnterAsync("a", 1, Never);
        var two = await queue.EnterAsync("a", 1, Never);
        var large = queue.EnterAsync("b", 3, Never);
        var small = queue.EnterAsync("c", 1, Never);
        one.Dispose();
        one.Dispose();   // Once only.
        Assert.False(large.IsCompleted || small.IsCompleted);
        two.Dispose();
        (await large).Dispose();
        (await small).Dispose();
        Assert.Equal(0, queue.Running);
        (await queue.EnterAsync("a", 100, Never)).Dispose();   // More than there are places takes all.
    }

    [Fact]
    public async Task Too_many_are_turned_away_and_told_when_to_come_again()
    {
        var queue = new RequestQueue(1, new ServerLimits { Waiting = 3, WaitingOfOneClient = 2 });
        using var place = await queue.EnterAsync("a", 1, Never);
        var waiting = new List<Task> { queue.EnterAsync("a", 1, Never), queue.EnterAsync("a", 1, Never) };
        var error = await Assert.ThrowsAsync<ApiException>(() => queue.EnterAsync("a", 1, Never));
        Assert.Equal((StatusCodes.Status429TooManyRequests, "rate_limit_exceeded"), (error.Status, error.Code));
        Assert.InRange(error.RetryAfterSeconds ?? 0, 1, 60);
        waiting.Add(queue.EnterAsync("b", 1, Never));
        Assert.Equal(StatusCodes.Status429TooManyRequests, (await Assert.ThrowsAsync<ApiException>(() => queue.EnterAsync("c", 1, Never))).Status);
        queue.Close();
        foreach (var task in waiting)
        {
            Assert.Equal(StatusCodes.Status503ServiceUnavailable, (await Assert.ThrowsAsync<ApiException>(() => task)).Status);
        }

        Assert.Equal(StatusCodes.Status503ServiceUnavailable, (await Assert.ThrowsAsync<ApiException>(() => queue.EnterAsync("a", 1, Never))).Status);
    }

    [Fact]
    public async Task Who_leaves_the_line_makes_room_for_the_next()
    {
        var queue = new RequestQueue(2, new ServerLimits());
        var place = await queue.EnterAsync("a", 1, Never);
        using var gone = new CancellationTokenSource();
        var large = queue.EnterAsync("b", 2, gone.Token);
        var small = queue.EnterAsync("c", 1, Never);
        Assert.False(small.IsCompleted);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => large);
        (await small).Dispose();
        place.Dispose();
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }
}
