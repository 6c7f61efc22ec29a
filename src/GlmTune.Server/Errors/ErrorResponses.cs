using GlmTune.Constraints;
using Microsoft.AspNetCore.WebUtilities;

namespace GlmTune.Server;

/// <summary>Makes every failure a JSON error of OpenAI's shape.</summary>
internal static class ErrorResponses
{
    /// <summary>Errors that endpoints throw, and statuses that the framework answers without a body (404, 405,
    /// …).</summary>
    public static void UseErrorResponses(this WebApplication app) =>
        app.Use(
            async (context, next) =>
            {
                try
                {
                    await next(context);
                    if (
                        context.Response is
                        { HasStarted: false, StatusCode: >= 400, ContentLength: null, ContentType: null } response
                    )
                    {
                        await WriteAsync(context, ErrorBody.Of(response.StatusCode, Phrase(context)));
                    }
                }
                catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
                {
                    // Nobody reads it; it is for the log and the counters.
                    if (!context.Response.HasStarted)
                    {
                        context.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
                    }
                }
#pragma warning disable CA1031 // Every error ends here, so that it is logged and answered.
                catch (Exception e)
#pragma warning restore CA1031
                {
                    var (status, body) = Of(context, e);
                    await WriteAsync(context, status, body, (e as ApiException)?.RetryAfterSeconds);
                }
            }
        );

    /// <summary>The status and the body that report an exception; logs what is a defect.</summary>
    public static (int Status, ErrorBody Body) Of(HttpContext context, Exception exception)
    {
        var (status, message) = exception switch
        {
            ApiException api => (api.Status, api.Message),
            BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => (
                StatusCodes.Status413PayloadTooLarge,
                "The body is larger than "
                    + $"{context.RequestServices.GetRequiredService<ServerOptions>().Limits.BodyBytes} bytes."
            ),
            BadHttpRequestException bad => (bad.StatusCode, bad.Message),
            ConstraintException => (StatusCodes.Status400BadRequest, exception.Message),
            // What answers was disposed with the server; at any other time that is a failure as any other.
            ObjectDisposedException when IsStopping(context) => (
                StatusCodes.Status503ServiceUnavailable,
                "The server is shutting down."
            ),
            _ => (StatusCodes.Status500InternalServerError, "Internal server error; see the server's log."),
        };
        if (status == StatusCodes.Status500InternalServerError)
        {
            context
                .RequestServices.GetRequiredService<ILoggerFactory>()
                .CreateLogger("glmtune")
                .RequestFailed(exception, context.Request.Path);
        }

        return (
            status,
            ErrorBody.Of(status, message, (exception as ApiException)?.Param, (exception as ApiException)?.Code)
        );
    }

    private static bool IsStopping(HttpContext context) =>
        context
            .RequestServices.GetRequiredService<IHostApplicationLifetime>()
            .ApplicationStopping.IsCancellationRequested;

    private static string Phrase(HttpContext context) =>
        context.Response.StatusCode switch
        {
            StatusCodes.Status404NotFound =>
                $"Nothing found at {Shown.Of(context.Request.Path)}.{WrongAddress.HintFor(context)}",
            StatusCodes.Status405MethodNotAllowed =>
                $"{Shown.Of(context.Request.Path)} does not support {Shown.Of(context.Request.Method)}; use "
                    + $"{context.Response.Headers.Allow}.",
            StatusCodes.Status415UnsupportedMediaType => RequestBody.NotDeclaredAsJson,
            var status => $"{ReasonPhrases.GetReasonPhrase(status)}.",
        };

    private static Task WriteAsync(HttpContext context, ErrorBody body) =>
        WriteAsync(context, context.Response.StatusCode, body, null);

    private static async Task WriteAsync(HttpContext context, int status, ErrorBody body, int? retryAfter = null)
    {
        if (context.Response.HasStarted)
        {
            context.Abort(); // Half an answer must not look like a whole one.
            return;
        }

        context.Response.Clear();
        context.Response.StatusCode = status;
        if (status == StatusCodes.Status401Unauthorized)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
        }

        if (retryAfter is { } seconds)
        {
            context.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        await context.Response.WriteAsJsonAsync(body, ApiJson.Options, context.RequestAborted);
    }
}
