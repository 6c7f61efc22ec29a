using System.Net;
using System.Net.Http.Headers;
using GlmTune.Server;
using Yarp.ReverseProxy.Forwarder;

namespace GlmTune.Studio.Chat;

/// <summary>Passes requests of the chat page on to the process that has the model.</summary>
/// <remarks>The page keeps talking to the studio, with the studio's key; the process is asked with a key of its
/// own.</remarks>
internal sealed class ChatProxy(ChatHost chat) : IDisposable
{
    // As long as a request may take there.
    private static readonly ForwarderRequestConfig Config = new() { ActivityTimeout = TimeSpan.FromMinutes(10) };

    private readonly HttpMessageInvoker client = new(
        new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
        }
    );

    /// <summary>Maps what the chat page asks for.</summary>
    public void Map(WebApplication app)
    {
        var forwarder = app.Services.GetRequiredService<IHttpForwarder>();
        foreach (var path in (string[])["/v1/{**rest}", "/api/tools/{**rest}"])
        {
            app.Map(path, context => ForwardAsync(forwarder, context)).ExcludeFromDescription();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    private async Task ForwardAsync(IHttpForwarder forwarder, HttpContext context)
    {
        var (address, key) =
            chat.Find()
            ?? throw new ApiException(
                StatusCodes.Status503ServiceUnavailable,
                "No model is loaded. Choose one to chat with in the studio.",
                code: "model_not_loaded"
            );
        var error = await forwarder.SendAsync(
            context,
            address.GetLeftPart(UriPartial.Authority),
            client,
            Config,
            new WithKey(key)
        );
        if (error is ForwarderError.Request or ForwarderError.RequestTimedOut && !context.Response.HasStarted)
        {
            throw new ApiException(StatusCodes.Status502BadGateway, "The process with the model does not answer.");
        }
    }

    private sealed class WithKey(string key) : HttpTransformer
    {
        public override async ValueTask TransformRequestAsync(
            HttpContext httpContext,
            HttpRequestMessage proxyRequest,
            string destinationPrefix,
            CancellationToken cancellationToken
        )
        {
            await base.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken);
            // The studio has checked where the page is from.
            proxyRequest.Headers.Remove("Origin");
            proxyRequest.Headers.Host = null;
            proxyRequest.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }
    }
}
