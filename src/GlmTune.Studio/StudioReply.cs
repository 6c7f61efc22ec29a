using System.Text.Json.Nodes;
using GlmTune.Server;

namespace GlmTune.Studio;

/// <summary>Replies of the studio's API: errors of users as such, messages in the language of the page.</summary>
/// <param name="options">The studio.</param>
/// <param name="context">The request.</param>
internal sealed class StudioReply(StudioOptions options, HttpContext context)
{
    private const string Language = "lang";

    private bool IsChinese => context.Request.Query[Language] == "zh";

    /// <summary>Runs an endpoint; what is wrong with files or settings becomes a reply with status 400.</summary>
    /// <exception cref="ApiException">400: a file or a setting is wrong.</exception>
    public static async Task<IResult> OfAsync(
        StudioOptions options,
        HttpContext context,
        Func<StudioReply, Task<IResult>> run
    )
    {
        var reply = new StudioReply(options, context);
        try
        {
            return await run(reply);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, reply.Text(error.Message));
        }
    }

    /// <summary>A message in the language of the page.</summary>
    public string Text(string message) => IsChinese ? options.Chinese(message) : message;

    /// <summary>Messages in the language of the page.</summary>
    public IReadOnlyList<string> Texts(IEnumerable<string> messages) => [.. messages.Select(Text)];

    /// <summary>Replaces the messages in a JSON value by those in the language of the page.</summary>
    public void Translate(JsonNode? node)
    {
        if (node is JsonArray all)
        {
            for (var place = 0; place < all.Count; place++)
            {
                if (all[place] is JsonValue value && value.TryGetValue(out string? text))
                {
                    all[place] = Text(text);
                }
            }
        }
    }

    /// <summary>Reads the body of the request.</summary>
    public Task<T> ReadAsync<T>()
        where T : class => RequestBody.ReadAsync<T>(context, options.Server.Limits);
}
