using System.Net;
using System.Net.Sockets;
using System.Text;
using GlmTune.Inference;
using GlmTune.Inference.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace GlmTune.Server.Tests.Queue;

/// <summary>A client that does not read, or has gone, holds no place and no connection for long.</summary>
public sealed class SlowReaderTests
{
    private const string Ask = """{MORE"messages":[{"role":"user","content":"x"}]}""";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("\"stream\":true,")]
    [InlineData("")]
    public async Task Who_never_reads_gives_the_place_back_and_is_cut_off_when_the_time_is_over(string more)
    {
        var time = new FakeTimeProvider();
        await using var server = await RunningServer.StartAsync(
            OfOnePlace(),
            new ServerOptions
            {
                Time = time,
                Limits = new ServerLimits { RequestTime = TimeSpan.FromSeconds(60) },
            }
        );
        // The answer is several megabytes, more than the buffers between here and there.
        using var socket = await ConnectAsync(server);
        await SendAsync(socket, Body($"{more}\"logprobs\":true,\"top_logprobs\":20,\"max_tokens\":3900,"));
        await Until(() => server.Queue.Running == 1);
        await Until(() => server.Queue.Running == 0);

        // Nothing was read, and others are answered.
        var (status, _) = await server.Http.PostAsync("/v1/chat/completions", Body("\"max_tokens\":1,"));
        Assert.Equal(HttpStatusCode.OK, status);
        time.Advance(TimeSpan.FromSeconds(60) + Deadline.Grace);
        await ReadToEndAsync(socket);
    }

    [Fact]
    public async Task Events_that_nobody_reads_are_bounded()
    {
        var services = new ServiceCollection()
            .AddSingleton(new ServerOptions { Limits = new ServerLimits { UnsentCharacters = 1000 } })
            .AddLogging()
            .BuildServiceProvider();
        var context = new DefaultHttpContext { RequestServices = services };
        using var sent = new MemoryStream();
        context.Response.Body = sent;
        var written = 0;
        var result = EventStream.Of(
            context,
            Deadline.Of(context),
            (events, _) =>
            {
                // All at once: nothing can be sent meanwhile.
                for (; written < 100; written++)
                {
                    events.Write(new string('x', 300));
                }

                return Task.CompletedTask;
            }
        );
        await result.ExecuteAsync(context);
        var text = Encoding.UTF8.GetString(sent.ToArray());
        Assert.Equal(3, written);
        Assert.Contains("reads events too slowly", text, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", text, StringComparison.Ordinal);
        Assert.Equal(StatusCodes.Status408RequestTimeout, EventStream.StatusOf(context));
    }

    [Fact]
    public async Task What_is_read_in_time_may_be_longer_than_what_may_wait()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => $"\n{new string('x', 200)}"),
            new ServerOptions { Limits = new ServerLimits { UnsentCharacters = 20_000 } }
        );
        var events = await server.Http.EventsAsync("/v1/chat/completions", Body("\"stream\":true,"));
        Assert.Equal("[DONE]", events[^1]);
        Assert.True(events.Sum(text => text.Length) > 30_000);
    }

    [Theory]
    [InlineData(0, "")]
    [InlineData(0, "\"stream\":true,")]
    [InlineData(4_000_000, "")]
    [InlineData(4_000_000, "\"stream\":true,")]
    public async Task A_client_that_has_gone_gives_the_place_back_whatever_lies_behind_its_request(
        int behind,
        string more
    )
    {
        var time = new FakeTimeProvider();
        using var go = new ManualResetEventSlim();
        var began = false;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ =>
            {
                // The first token, and then none until the client has gone.
                if (began)
                {
                    go.Wait(Stop);
                }

                began = true;
                return $"\n{new string('x', 3900)}";
            }),
            new ServerOptions
            {
                Time = time,
                Limits = new ServerLimits { RequestTime = TimeSpan.FromDays(1) },
            }
        );
        using (var socket = await ConnectAsync(server))
        {
            await SendAsync(socket, Body($"{more}\"max_tokens\":4000,"));
            await Until(() => server.Queue.Running == 1);
            using var enough = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            try
            {
                await socket.SendAsync(new byte[behind], enough.Token);
            }
            catch (OperationCanceledException)
            {
                // More than all buffers hold.
            }
        }

        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return server.Queue.Running == 0;
        });
        go.Set();
    }

    private static ChatModel OfOnePlace() =>
        new(
            FakeLm.Sure(300, _ => 'x'),
            new Data.Templates.Glm4Template(ScriptedChat.Bytes),
            new GenerationOptions(),
            new GenerationLimits { Slots = 1 }
        );

    private static string Body(string more) => Ask.Replace("MORE", more, StringComparison.Ordinal);

    private static async Task<Socket> ConnectAsync(RunningServer server)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        {
            ReceiveBufferSize = 4096,
        };
        await socket.ConnectAsync(IPAddress.Loopback, server.Address.Port, Stop);
        return socket;
    }

    private static async Task SendAsync(Socket socket, string body) =>
        await socket.SendAsync(
            Encoding.UTF8.GetBytes(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    + $"Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}"
            ),
            Stop
        );

    // Ends when the server has closed the connection.
    private static async Task ReadToEndAsync(Socket socket)
    {
        try
        {
            while (await socket.ReceiveAsync(new byte[65536], Stop) > 0) { }
        }
        catch (SocketException)
        {
            // Reset, which is an end too.
        }
    }

    private static async Task Until(Func<bool> holds)
    {
        for (var i = 0; !holds(); i++)
        {
            Assert.True(i < 3000, "It did not come about within 30 s.");
            await Task.Delay(10, Stop);
        }
    }
}
