namespace GlmTune.Server;

/// <summary>The body of an error, as OpenAI's service and its clients have it.</summary>
internal sealed record ErrorBody(ApiError Error)
{
    public static ErrorBody Of(int status, string message, string? param = null, string? code = null) =>
        new(
            new ApiError(
                message,
                status switch
                {
                    StatusCodes.Status429TooManyRequests => "rate_limit_error",
                    >= 500 => "server_error",
                    _ => "invalid_request_error",
                },
                param,
                code
            )
        );
}

/// <summary>What went wrong.</summary>
internal sealed record ApiError(string Message, string Type, string? Param, string? Code);
