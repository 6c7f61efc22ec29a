using System.Net;
using System.Text;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests.Requests;

public sealed class BodyMemoryTests
{
    private static readonly CancellationToken Never = CancellationToken.None;

    [Fact]
    public void One_client_holds_half_of_what_all_may_and_small_bodies_are_not_counted()
    {
        var memory = new BodyMemory(new ServerOptions { Limits = new ServerLimits { HeldBodyBytes = 4 << 20 } });
        using var first = memory.Open("a");
        first.Grow(1 << 20);
        first.Grow(2 << 20); // It grew to this, not by it.
        Assert.Equal(2 << 20, memory.Held);
        using var second = memory.Open("a");
        second.Grow(BodyMemory.SmallBytes);
        var error = Assert.Throws<ApiException>(() => second.Grow(BodyMemory.SmallBytes + 1));
        Assert.Equal((429, true), (error.Status, error.RetryAfterSeconds > 0));
        Assert.Contains("bodies of yours", error.Message, StringComparison.Ordinal);
        using (var other = memory.Open("b"))
        {
            other.Grow(2 << 20);
            Assert.Contains(
                "bodies of others",
                Assert.Throws<ApiException>(() => memory.Open("c").Grow(1 << 20)).Message,
                StringComparison.Ordinal
            );
        }

        using var third = memory.Open("c");
        third.Grow(1 << 20);
        first.Dispose();
        first.Dispose();
        second.Grow(2 << 20);
        Assert.Equal(3 << 20, memory.Held);
        second.Dispose();
        third.Dispose();
        Assert.Equal(0, memory.Held);
    }

    [Fact]
    public async Task Large_bodies_are_parsed_a_few_at_a_time_and_clients_take_turns()
    {
        var memory = new BodyMemory(new ServerOptions { Limits = new ServerLimits { LargeBodies = 1 } });
        BodyMemory.Lease Open(string client, int bytes)
        {
            var lease = memory.Open(client);
            lease.Grow(bytes);
            return lease;
        }

        BodyMemory.Lease[] leases = [.. ((string[])["a", "a", "a", "b"]).Select(client => Open(client, 1 << 20))];
        Task[] entering = [.. leases.Select(lease => lease.EnterParsingAsync(Never))];
        await Open("a", 1000).EnterParsingAsync(Never); // A small one never waits.
        foreach (var (turn, next) in ((int[])[0, 1, 3, 2]).Index())
        {
            await entering[next].WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
            Assert.Equal(turn + 1, entering.Count(each => each.IsCompleted));
            leases[next].Dispose();
        }

        Assert.Equal(0, memory.Held);
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"LONG"}]}""", 200)]
    [InlineData("""{"messages":[{"role":"user","content":"LONG","x":tru}]}""", 400)]
    [InlineData("""{"messages":[{"role":"robot","content":"LONG"}]}""", 400)]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[TWENTY]}""", 400)]
    public async Task Nothing_is_held_once_a_request_is_prepared_or_refused(string body, int expected)
    {
        // The answer waits, and holds no body meanwhile.
        using var go = new ManualResetEventSlim(expected != 200);
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ =>
            {
                go.Wait(TestContext.Current.CancellationToken);
                return "\nx";
            }),
            new ServerOptions { Limits = new ServerLimits { Tools = 19 } }
        );
        var memory = (BodyMemory)server.App.Services.GetService(typeof(BodyMemory))!;
        // Large, but a short prompt.
        body = body.Replace("LONG", "x", StringComparison.Ordinal)
            .Replace("TWENTY", string.Join(',', Enumerable.Repeat("0", 20)), StringComparison.Ordinal);
        var answer = server.Http.PostAsync("/v1/chat/completions", body + new string(' ', 300_000));
        if (expected == 200)
        {
            while (server.Queue.Running == 0)
            {
                await Task.Yield();
            }

            Assert.Equal(0, memory.Held);
            go.Set();
        }

        Assert.Equal(expected, (int)(await answer).Status);
        Assert.Equal(0, memory.Held);
    }

    [Fact]
    public async Task Bodies_that_come_in_chunks_are_read_whole_and_held_to_the_same_limit()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { Limits = new ServerLimits { BodyBytes = 300_000 } }
        );
        foreach (var (spaces, expected) in ((int, int)[])[(0, 200), (299_900, 200), (300_000, 413)])
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions");
            request.Content = new StringContent(
                "\uFEFF{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}" + new string(' ', spaces),
                Encoding.UTF8,
                "application/json"
            );
            request.Headers.TransferEncodingChunked = true;
            using var response = await server.Http.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal((HttpStatusCode)expected, response.StatusCode);
        }
    }
}
