namespace GlmTune.Server;

/// <summary>An error that is returned to the client in the form of OpenAI's API.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="message">The message: what was found, and what was expected.</param>
/// <param name="param">The invalid part of the request, such as <c>messages[2].content</c>; null if there is
/// none.</param>
/// <param name="code">A code for programs, such as <c>model_not_found</c>; null if there is none.</param>
internal sealed class ApiException(int status, string message, string? param = null, string? code = null)
    : Exception(message)
{
    public int Status => status;

    public string? Param => param;

    public string? Code => code;

    /// <summary>Seconds after which a retry may succeed; null if it cannot.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>A 400 error about one part of the request.</summary>
    public static ApiException Wrong(string param, string message, string? code = null) =>
        new(StatusCodes.Status400BadRequest, message, param, code);
}
