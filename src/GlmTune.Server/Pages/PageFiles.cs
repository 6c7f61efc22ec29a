using System.Collections.Frozen;
using System.Reflection;
using System.Security.Cryptography;

namespace GlmTune.Server.Pages;

/// <summary>The pages' files, embedded in this assembly: nothing is read from disk or loaded from elsewhere.</summary>
/// <remarks>The content security policy restricts a page to what this server serves, allows no inline scripts or
/// styles, and makes browsers with trusted types refuse to parse HTML from strings, so a model's text can never become
/// active content.</remarks>
internal static class PageFiles
{
    private const string Prefix = "page/";

    private const string Policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

    private static readonly Assembly Assembly = typeof(PageFiles).Assembly;
    private static readonly FrozenDictionary<string, PageFile> All = Assembly
        .GetManifestResourceNames()
        .Where(name => name.StartsWith(Prefix, StringComparison.Ordinal))
        .ToFrozenDictionary(name => name[Prefix.Length..], Read, StringComparer.Ordinal);

    /// <summary>Maps <c>/assets/NAME</c>: scripts, styles and the icon of all pages.</summary>
    public static void MapPageFiles(this IEndpointRouteBuilder app)
    {
        app.MapGet(
                "/assets/{name}",
                (string name, HttpContext context) =>
                    All.TryGetValue(name, out var file) && !name.EndsWith(".html", StringComparison.Ordinal)
                        ? Send(context, file)
                        : throw new ApiException(StatusCodes.Status404NotFound, "File not found.")
            )
            .AllowWithoutKey()
            .ExcludeFromDescription();
        app.MapGet("/favicon.ico", (HttpContext context) => Send(context, All["favicon.svg"]))
            .AllowWithoutKey()
            .ExcludeFromDescription();
    }

    /// <summary>Maps a page.</summary>
    /// <param name="app">Receives the route.</param>
    /// <param name="path">Path of the page.</param>
    /// <param name="name">Name of its file.</param>
    public static void MapPage(this IEndpointRouteBuilder app, string path, string name) =>
        app.MapMethods(path, ["GET", "HEAD"], (HttpContext context) => Send(context, All[name]))
            .AllowWithoutKey()
            .ExcludeFromDescription();

    private static IResult Send(HttpContext context, PageFile file)
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        // Revalidated on every use; sent again only if the program has changed.
        headers.CacheControl = "no-cache";
        return Results.Bytes(
            file.Content,
            file.Type,
            entityTag: new Microsoft.Net.Http.Headers.EntityTagHeaderValue(file.Tag)
        );
    }

    private static PageFile Read(string resource)
    {
        using var stream = Assembly.GetManifestResourceStream(resource)!;
        var content = new byte[stream.Length];
        stream.ReadExactly(content);
        var type = Path.GetExtension(resource) switch
        {
            ".html" => "text/html; charset=utf-8",
            ".css" => "text/css; charset=utf-8",
            ".js" => "text/javascript; charset=utf-8",
            ".svg" => "image/svg+xml",
            var other => throw new InvalidOperationException($"Pages cannot have files of type '{other}'."),
        };
        return new PageFile(content, type, $"\"{Convert.ToHexStringLower(SHA256.HashData(content))[..16]}\"");
    }

    private sealed record PageFile(byte[] Content, string Type, string Tag);
}
