using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace GlmTune.Hub;

/// <summary>A Hub on this machine: serves one repository, and misbehaves as told.</summary>
internal sealed class FakeHub : IAsyncDisposable
{
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";
    private readonly WebApplication app;

    private FakeHub(WebApplication app) => this.app = app;

    /// <summary>Content of the repository.</summary>
    public Dictionary<string, byte[]> Files { get; } =
        new()
        {
            ["config.json"] = Encoding.UTF8.GetBytes("""{"model_type": "chatglm"}"""),
            ["tokenizer.model"] = Encoding.UTF8.GetBytes("IQ== 0\n"),
            ["model.safetensors"] = Bytes(3_000_000),
        };

    /// <summary>Entries of the file list that have no content.</summary>
    public List<object> MoreEntries { get; } = [];

    /// <summary>Answers instead of the usual answer; false: the usual one follows.</summary>
    public Func<HttpContext, Task<bool>> Instead { get; set; } = _ => Task.FromResult(false);

    /// <summary>Requests in order: method, path, Range and Authorization.</summary>
    public ConcurrentQueue<(string Method, string Path, string Range, string Token)> Requests { get; } = [];

    /// <summary>Whether sizes and hashes are in the list; otherwise HEAD tells them.</summary>
    public bool ListsHashes { get; set; } = true;

    public string Address => app.Urls.Single();

    public static async Task<FakeHub> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var hub = new FakeHub(app);
        app.Run(hub.AnswerAsync);
        await app.StartAsync();
        return hub;
    }

    public static byte[] Bytes(int count)
    {
        var bytes = new byte[count];
        new Random(count).NextBytes(bytes);
        return bytes;
    }

    public static string Sha256(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

#pragma warning disable CA5350 // Git's own hash
    public static string GitSha(byte[] content) =>
        Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {content.Length}\0"), .. content]));
#pragma warning restore CA5350

    public ValueTask DisposeAsync() => app.DisposeAsync();

    /// <summary>Downloads of a file, in order.</summary>
    public IEnumerable<(string Method, string Path, string Range, string Token)> RequestsFor(string file) =>
        Requests.Where(request =>
            request.Method == "GET" && request.Path.EndsWith("/" + file, StringComparison.Ordinal)
        );

    /// <summary>Answers with a file, from the byte that the request asks for.</summary>
    public static async Task SendAsync(HttpContext context, byte[] content)
    {
        var from = context.Request.GetTypedHeaders().Range?.Ranges.Single().From;
        var start = (int)(from ?? 0);
        if (from is not null)
        {
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = string.Create(
                CultureInfo.InvariantCulture,
                $"bytes {start}-{content.Length - 1}/{content.Length}"
            );
        }

        context.Response.ContentLength = content.Length - start;
        await context.Response.Body.WriteAsync(content.AsMemory(start));
    }

    /// <summary>Sends the first bytes of a whole file, and breaks the connection off.</summary>
    public static async Task BreakOffAsync(HttpContext context, byte[] content, int after)
    {
        context.Response.ContentLength = content.Length;
        await context.Response.Body.WriteAsync(content.AsMemory(0, after));
        await context.Response.Body.FlushAsync();
        context.Abort();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        Requests.Enqueue(
            (
                context.Request.Method,
                path,
                $"{context.Request.Headers.Range}",
                $"{context.Request.Headers.Authorization}"
            )
        );
        if (await Instead(context))
        {
            return;
        }

        if (path.StartsWith("/api/models/", StringComparison.Ordinal))
        {
            await context.Response.WriteAsync(
                JsonSerializer.Serialize(new { sha = Commit, siblings = Files.Select(Entry).Concat(MoreEntries) })
            );
        }
        else if (Files.TryGetValue(path.Split('/')[^1], out var content))
        {
            context.Response.Headers.ETag = $"\"{GitSha(content)}\"";
            if (context.Request.Method == "HEAD")
            {
                context.Response.ContentLength = content.Length;
                return;
            }

            await SendAsync(context, content);
        }
        else
        {
            context.Response.StatusCode = 404;
        }
    }

    private object Entry(KeyValuePair<string, byte[]> file) =>
        !ListsHashes ? new { rfilename = file.Key }
        : file.Key.EndsWith(".safetensors", StringComparison.Ordinal)
            ? new
            {
                rfilename = file.Key,
                size = file.Value.Length,
                blobId = GitSha([]),
                lfs = new
                {
                    sha256 = Sha256(file.Value),
                    size = file.Value.Length,
                    pointerSize = 134,
                },
            }
        : new
        {
            rfilename = file.Key,
            size = file.Value.Length,
            blobId = GitSha(file.Value),
        };
}
