using System.Net.Sockets;
using System.Text;
using GlmTune.Server.Board;

namespace GlmTune.Server.Tests;

/// <summary>Requests are framed in one way only, so that a proxy in front cannot read them in another.</summary>
public sealed class LineEndTests
{
    [Theory]
    [InlineData("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", "200")]
    [InlineData("GET /health HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n", "400")]
    [InlineData("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\nX: y\r\n\r\n", "400")]
    public async Task A_line_ends_with_both_characters(string request, string status)
    {
        await using var app = RunBoard.CreateServer([], new ServerOptions { Port = 0 });
        await app.StartAsync(TestContext.Current.CancellationToken);
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", new Uri(app.Urls.Single()).Port, TestContext.Current.CancellationToken);
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request), TestContext.Current.CancellationToken);
        using var reader = new StreamReader(stream);
        Assert.StartsWith(
            $"HTTP/1.1 {status} ",
            await reader.ReadLineAsync(TestContext.Current.CancellationToken),
            StringComparison.Ordinal
        );
    }
}
