using GlmTune.Server.Board;

namespace GlmTune.Server.Tests.Board;

/// <summary>Reads that never come back hold up nobody but those who ask for the same folder.</summary>
public sealed class BackgroundReaderTests
{
    private readonly BackgroundReader reader = new(TimeSpan.FromMinutes(10));

    [Fact]
    public async Task Reads_run_one_at_a_time_in_their_order_and_give_results_and_errors()
    {
        var running = 0;
        List<int> order = [];
        int Read(int number)
        {
            Assert.Equal(1, Interlocked.Increment(ref running));
            order.Add(number);
            Interlocked.Decrement(ref running);
            return number == 3 ? throw new IOException("gone") : number;
        }

        var reads = Enumerable.Range(0, 50).Select(number => reader.ReadAsync("a", () => Read(number))).ToList();
        await Task.WhenAll(reads).ContinueWith(_ => { }, TestContext.Current.CancellationToken);
        Assert.Equal(Enumerable.Range(0, 50), order);
        Assert.Equal(49, await reads[49]);
        await Assert.ThrowsAsync<IOException>(() => reads[3]);
    }

    [Fact]
    public async Task A_stuck_read_is_given_up_and_the_others_go_on()
    {
        using var started = new ManualResetEventSlim();
        using var gate = new ManualResetEventSlim();
        var stuck = reader.ReadAsync(
            "hung",
            () =>
            {
                started.Set();
                gate.Wait();
                return 1;
            }
        );
        var behind = reader.ReadAsync("hung", () => 2);
        var other = reader.ReadAsync("fine", () => 3);
        started.Wait(TestContext.Current.CancellationToken);
        Assert.False(other.IsCompleted);

        reader.GiveUp(TimeSpan.Zero);
        await Assert.ThrowsAsync<TimeoutException>(() => stuck);
        await Assert.ThrowsAsync<TimeoutException>(() => behind);
        Assert.Equal(3, await other);
        await Assert.ThrowsAsync<TimeoutException>(() => reader.ReadAsync("hung", () => 4));
        Assert.Equal(5, await reader.ReadAsync("fine", () => 5));

        // When the file system answers again, the folder is read again.
        gate.Set();
        while (true)
        {
            try
            {
                Assert.Equal(6, await reader.ReadAsync("hung", () => 6));
                break;
            }
            catch (TimeoutException)
            {
                await Task.Yield();
            }
        }
    }
}
