using GlmTune.Constraints;
using GlmTune.Kernels.Memory;
using Microsoft.AspNetCore.WebUtilities;

namespace GlmTune.Server;

/// <summary>Turns every failure into a JSON error in the form of OpenAI's API.</summary>
internal static class ErrorResponses
{
    /// <summary>Handles exceptions of endpoints, and statuses that the framework returns without a body (404, 405,
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
                    // The client does not see it; it is for the log and the metrics.
                    if (!context.Response.HasStarted)
                    {
                        context.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
                    }
                }
#pragma warning disable CA1031 // All errors end here, to be logged and reported.
                catch (Exception e)
#pragma warning restore CA1031
                {
                    var (status, body) = Of(context, e);
                    await WriteAsync(context, status, body, (e as ApiException)?.RetryAfterSeconds);
                }
            }
        );

    /// <summary>The status and body for an exception; logs internal errors.</summary>
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
            // The generator was disposed with the server; at any other time this is an error like any other.
            ObjectDisposedException when IsStopping(context) => (
                StatusCodes.Status503ServiceUnavailable,
                "The server is shutting down."
            ),
            _ when AllocationFailure.Find(exception) is not null => (
                StatusCodes.Status503ServiceUnavailable,
                "The server ran out of memory for this answer. Try again later, or ask with fewer tokens."
            ),
            _ => (StatusCodes.Status500InternalServerError, "Internal server error; see the server's log."),
        };
        if (exception is not ApiException && AllocationFailure.Find(exception) is { } failure)
        {
            Log(context).OutOfMemory($"{failure} Serve with fewer --slots, or shorter prompts.", context.Request.Path);
        }
        else if (status == StatusCodes.Status500InternalServerError)
        {
            Log(context).RequestFailed(exception, context.Request.Path);
        }

        return (
            status,
            ErrorBody.Of(status, message, (exception as ApiException)?.Param, (exception as ApiException)?.Code)
        );
    }

    private static ILogger Log(HttpContext context) =>
        context.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("glmtune");

    private static bool IsStopping(HttpContext context) =>
        context
            .RequestServices.GetRequiredService<IHostApplicationLifetime>()
            .ApplicationStopping.IsCancellationRequested;

    private static string Phrase(HttpContext context) =>
        context.Response.StatusCode switch
        {
            StatusCodes.Status404NotFound =>
                $"Nothing found at {Printable.Of(context.Request.Path)}.{WrongAddress.HintFor(context)}",
            StatusCodes.Status405MethodNotAllowed =>
                $"{Printable.Of(context.Request.Path)} does not support {Printable.Of(context.Request.Method)}; use "
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
            context.Abort(); // A partial answer must not look like a complete one.
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
