namespace GlmTune.Server;

/// <summary>A request that is answered with an error of OpenAI's shape.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="message">For people: what was found, what was expected.</param>
/// <param name="param">The part of the request that is wrong, such as <c>messages[2].content</c>; null where no part
/// is.</param>
/// <param name="code">For programs, such as <c>model_not_found</c>; null where there is none.</param>
internal sealed class ApiException(int status, string message, string? param = null, string? code = null)
    : Exception(message)
{
    public int Status => status;

    public string? Param => param;

    public string? Code => code;

    /// <summary>Seconds after which asking again makes sense; null where it doesn't.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>400 that names a part of the request.</summary>
    public static ApiException Wrong(string param, string message, string? code = null) =>
        new(StatusCodes.Status400BadRequest, message, param, code);
}
