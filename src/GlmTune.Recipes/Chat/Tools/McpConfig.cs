using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Recipes.Chat.Tools;

/// <summary>How to reach one MCP server (Model Context Protocol): a program to start, or a URL.</summary>
/// <param name="Name">Its name in the file.</param>
public sealed record McpServerConfig(string Name)
{
    /// <summary>The program to start, which communicates over standard input and output; null: the server is at
    /// <see cref="Url"/>.</summary>
    public string? Command { get; init; }

    /// <summary>The program's arguments.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>Environment variables for the program, in addition to the few that every program needs.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>The program's working folder; null: the current one.</summary>
    public string? WorkingFolder { get; init; }

    /// <summary>URL of a running server.</summary>
    public Uri? Url { get; init; }

    /// <summary>Headers for each request to the URL, such as an API key.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();
}

/// <summary>A file of servers in the usual format: <c>{"mcpServers": {NAME: {"command": …, "args": […], "env": {…}} or
/// {"url": …}}}</c>.</summary>
/// <remarks>Other keys are ignored. In particular, tools that such a file approves for use without asking are not
/// approved here.</remarks>
public static class McpConfig
{
    /// <summary>Reads a file; servers marked as disabled are skipped.</summary>
    /// <exception cref="InvalidDataException">The file has another form; the message lists all problems.</exception>
    public static IReadOnlyList<McpServerConfig> Read(string path)
    {
        try
        {
            using var json = JsonDocument.Parse(
                JsonFile.WithoutMark(RegularFile.ReadBytes(path)),
                new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true }
            );
            var root = json.RootElement;
            if (
                root.ValueKind != JsonValueKind.Object
                || !(root.TryGetProperty("mcpServers", out var servers) || root.TryGetProperty("servers", out servers))
                || servers.ValueKind != JsonValueKind.Object
            )
            {
                throw new InvalidDataException(
                    $"{path}: expected an object with 'mcpServers', which maps names to servers."
                );
            }

            var problems = new List<string>();
            var read = servers
                .EnumerateObject()
                .Where(server =>
                    !(
                        server.Value.ValueKind == JsonValueKind.Object
                        && server.Value.TryGetProperty("disabled", out var disabled)
                        && disabled.ValueKind == JsonValueKind.True
                    )
                )
                .Select(server =>
                    Read(server.Name, server.Value, problem => problems.Add($"{path}, '{server.Name}': {problem}"))
                )
                .ToList();
            return problems.Count == 0
                ? read
                : throw new InvalidDataException(string.Join(Environment.NewLine, problems));
        }
        catch (JsonException e)
        {
            throw new InvalidDataException(
                $"{path}, line {e.LineNumber + 1}: not valid JSON; expected 'mcpServers', which maps names "
                    + "to servers.",
                e
            );
        }
    }

    private static McpServerConfig Read(string name, JsonElement server, Action<string> report)
    {
        if (server.ValueKind != JsonValueKind.Object)
        {
            report("expected an object with 'command' or 'url'.");
            return new McpServerConfig(name);
        }

        var (command, url) = (Text("command"), Text("url"));
        if (command is null == url is null)
        {
            report(
                command is null
                    ? "has neither 'command' nor 'url'; expected one of them."
                    : "has both 'command' and 'url'; expected one of them."
            );
        }

        Uri? address = null;
        if (
            url is not null
            && !(Uri.TryCreate(url, UriKind.Absolute, out address) && address.Scheme is "http" or "https")
        )
        {
            report($"'url' is '{url}'; expected an http:// or https:// address.");
        }

        return new McpServerConfig(name)
        {
            Command = command,
            Arguments = Texts("args"),
            Environment = Named("env"),
            WorkingFolder = Text("cwd"),
            Url = address,
            Headers = Named("headers"),
        };

        string? Text(string key)
        {
            if (!server.TryGetProperty(key, out var value))
            {
                return null;
            }

            if (value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text)
            {
                return text;
            }

            report($"'{key}' is not a string.");
            return null;
        }

        string[] Texts(string key)
        {
            if (!server.TryGetProperty(key, out var list))
            {
                return [];
            }

            if (
                list.ValueKind == JsonValueKind.Array
                && list.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
            )
            {
                return [.. list.EnumerateArray().Select(item => item.GetString()!)];
            }

            report($"'{key}' is not an array of strings.");
            return [];
        }

        Dictionary<string, string> Named(string key)
        {
            if (!server.TryGetProperty(key, out var values))
            {
                return [];
            }

            if (
                values.ValueKind == JsonValueKind.Object
                && values.EnumerateObject().All(item => item.Value.ValueKind == JsonValueKind.String)
            )
            {
                return values
                    .EnumerateObject()
                    .DistinctBy(item => item.Name)
                    .ToDictionary(item => item.Name, item => item.Value.GetString()!);
            }

            report($"'{key}' is not an object of strings.");
            return [];
        }
    }
}
