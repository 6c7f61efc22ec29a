using GlmTune.Recipes.Chat.Tools;

namespace GlmTune.Recipes.Tools;

public sealed class McpConfigTests : IDisposable
{
    private readonly string file = Path.GetTempFileName();

    public void Dispose() => File.Delete(file);

    [Fact]
    public void Programs_and_addresses_are_read_and_disabled_ones_left_out()
    {
        var servers = Read(
            """
            {
              // As other programs write it.
              "mcpServers": {
                "files": {"command": "npx", "args": ["-y", "server", "/data"], "env": {"KEY": "v"}, "cwd": "/tmp", "autoApprove": ["delete"]},
                "remote": {"type": "http", "url": "https://example.org/mcp", "headers": {"Authorization": "Bearer x"}},
                "off": {"command": "x", "disabled": true},
              }
            }
            """
        );
        Assert.Equal(["files", "remote"], servers.Select(server => server.Name));
        Assert.Equal(
            ("npx", "/tmp", "v"),
            (servers[0].Command, servers[0].WorkingFolder, servers[0].Environment["KEY"])
        );
        Assert.Equal(["-y", "server", "/data"], servers[0].Arguments);
        Assert.Equal(
            ("https://example.org/mcp", "Bearer x"),
            (servers[1].Url!.ToString(), servers[1].Headers["Authorization"])
        );
    }

    [Fact]
    public void All_problems_are_named_at_once()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            Read(
                """{"mcpServers": {"a": {}, "b": {"command": "x", "url": "http://y"}, "c": {"url": "file:///etc"}, "d": {"command": "x", "args": [1], "env": {"K": 2}}, "e": 3}}"""
            )
        );
        Assert.Equal(6, error.Message.Split(Environment.NewLine).Length);
        Assert.All(
            (string[])
                [
                    "'a': has neither",
                    "'b': has both",
                    "'c': 'url' is 'file:///etc'",
                    "'d': 'args'",
                    "'d': 'env'",
                    "'e': expected an object",
                ],
            part => Assert.Contains(part, error.Message, StringComparison.Ordinal)
        );
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{\"mcpServers\": []}")]
    [InlineData("{")]
    public void Another_file_is_refused(string text) =>
        Assert.Contains(
            "mcpServers",
            Assert.Throws<InvalidDataException>(() => Read(text)).Message,
            StringComparison.Ordinal
        );

    private IReadOnlyList<McpServerConfig> Read(string text)
    {
        File.WriteAllText(file, text);
        return McpConfig.Read(file);
    }
}
