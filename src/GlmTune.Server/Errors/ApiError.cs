namespace GlmTune.Server;

/// <summary>The body of an error response, in the form of OpenAI's API.</summary>
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

/// <summary>Details of the error.</summary>
internal sealed record ApiError(string Message, string Type, string? Param, string? Code);
