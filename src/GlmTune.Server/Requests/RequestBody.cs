using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace GlmTune.Server;

/// <summary>Reads the JSON object that a request brings.</summary>
internal static class RequestBody
{
    /// <summary>The body as a record; fields that the record doesn't have are passed over.</summary>
    /// <exception cref="ApiException">415: it is not declared as JSON. 408: it does not come within the request's time.
    /// 400: it is no JSON object, or a field is of a wrong kind; names the field.</exception>
    /// <exception cref="BadHttpRequestException">413: it is too large.</exception>
    public static async Task<T> ReadAsync<T>(HttpContext context, ServerLimits limits)
        where T : class
    {
        if (!context.Request.HasJsonContentType())
        {
            throw new ApiException(
                StatusCodes.Status415UnsupportedMediaType,
                "The body must be JSON and say so: send the header 'Content-Type: application/json'."
            );
        }

        var deadline = Deadline.Of(context);
        try
        {
            using var document = await JsonDocument.ParseAsync(
                context.Request.Body,
                new JsonDocumentOptions { MaxDepth = limits.JsonDepth },
                deadline.Token
            );
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? Read<T>(document.RootElement)
                : throw new ApiException(
                    StatusCodes.Status400BadRequest,
                    $"The body is {Kind(document.RootElement)}; expected a JSON object."
                );
        }
        catch (OperationCanceledException) when (deadline.IsOver)
        {
            throw new ApiException(
                StatusCodes.Status408RequestTimeout,
                $"The body did not come within {limits.RequestTime.TotalSeconds:0} s.",
                code: "timeout"
            );
        }
        catch (JsonException e)
        {
            throw new ApiException(
                StatusCodes.Status400BadRequest,
                $"The body is not JSON, or nested deeper than {limits.JsonDepth} levels (line {e.LineNumber + 1}, byte "
                    + $"{e.BytePositionInLine + 1})."
            );
        }
    }

    /// <summary>What a value is, in words.</summary>
    public static string Kind(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "a list",
            JsonValueKind.String => "a string",
            JsonValueKind.Number => $"the number {Shown.Of(value.GetRawText())}",
            JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
            _ => "null",
        };

    private static T Read<T>(JsonElement root)
    {
        try
        {
            return root.Deserialize<T>(ApiJson.Options)!;
        }
        catch (JsonException e)
        {
            var param =
                e.Path is { Length: > 2 } path && path.StartsWith("$.", StringComparison.Ordinal) ? path[2..] : null;
            throw new ApiException(
                StatusCodes.Status400BadRequest,
                param is null
                    ? "A field is of a wrong kind, or holds half of a surrogate pair."
                    : Describe(typeof(T), root, param),
                param
            );
        }
        catch (InvalidOperationException)
        {
            throw new ApiException(
                StatusCodes.Status400BadRequest,
                "A text holds half of a surrogate pair, which is no character."
            );
        }
    }

    // "'messages[2].content' is true; expected a string." Paths are those of System.Text.Json: names, [index], ['odd
    // name'].
    private static string Describe(Type type, JsonElement value, string path)
    {
        JsonTypeInfo? info = ApiJson.Options.GetTypeInfo(type);
        foreach (
            var step in path.Replace("[", ".[", StringComparison.Ordinal)
                .Split('.', StringSplitOptions.RemoveEmptyEntries)
        )
        {
            if (step[0] == '[' && int.TryParse(step.Trim('[', ']'), out var index))
            {
                if (value.ValueKind != JsonValueKind.Array || index >= value.GetArrayLength())
                {
                    break;
                }

                (value, info) = (
                    value[index],
                    info?.ElementType is { } element ? ApiJson.Options.GetTypeInfo(element) : null
                );
            }
            else if (value.ValueKind == JsonValueKind.Object && value.TryGetProperty(step, out var member))
            {
                (value, info) = (
                    member,
                    info?.Properties.FirstOrDefault(property => property.Name == step)?.PropertyType is { } of
                        ? ApiJson.Options.GetTypeInfo(of)
                        : null
                );
            }
            else
            {
                info = null;
                break;
            }
        }

        return $"'{Shown.Of(path)}' is "
            + $"{Kind(value)}{(value.ValueKind == JsonValueKind.String ? " that does not fit" : "")}; expected "
            + $"{Expected(info)}.";
    }

    private static string Expected(JsonTypeInfo? info)
    {
        var type = info is null ? null : Nullable.GetUnderlyingType(info.Type) ?? info.Type;
        return type == typeof(double) ? "a number"
            : type == typeof(int) || type == typeof(long) ? "a whole number in range"
            : type == typeof(bool) ? "true or false"
            : type == typeof(string) ? "a string of whole characters"
            : info?.Kind == JsonTypeInfoKind.Enumerable ? "a list"
            : info?.Kind == JsonTypeInfoKind.Object ? "an object"
            : "another kind of value";
    }
}
