using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace GlmTune.Server;

/// <summary>Reads the JSON object in a request body.</summary>
internal static class RequestBody
{
    /// <summary>Reply to a body that is not declared as JSON.</summary>
    public const string NotDeclaredAsJson =
        "The body must be declared as JSON: send the header 'Content-Type: application/json'.";

    /// <summary>Reads the body as a record; fields that the record does not have are ignored.</summary>
    /// <exception cref="ApiException">415: it is not declared as JSON. 408: it did not arrive in time. 413: it is too
    /// large. 429: too many large bodies are being read. 400: it is not a JSON object, or a field has the wrong type;
    /// the error names the field.</exception>
    /// <exception cref="BadHttpRequestException">413: it is too large; or its framing is invalid.</exception>
    public static async Task<T> ReadAsync<T>(HttpContext context, ServerLimits limits)
        where T : class
    {
        if (!context.Request.HasJsonContentType())
        {
            throw new ApiException(StatusCodes.Status415UnsupportedMediaType, NotDeclaredAsJson);
        }

        var deadline = Deadline.Of(context);
        var lease = context.RequestServices.GetRequiredService<BodyMemory>().Open(ApiKeyGuard.ClientOf(context));
        context.Response.RegisterForDispose(lease);
        context.Items[typeof(BodyMemory)] = lease;
        try
        {
            var body = await ReceiveAsync(context, lease, limits, deadline.Token);
            await lease.EnterParsingAsync(deadline.Token);
            BodyWalk.Check(body.Span, limits);
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = limits.JsonDepth });
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
                $"The body did not arrive within {limits.RequestTime.TotalSeconds:0} s.",
                code: "timeout"
            );
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    /// <summary>Releases the memory of a request's body when it is no longer needed.</summary>
    public static void Forget(HttpContext context) => (context.Items[typeof(BodyMemory)] as IDisposable)?.Dispose();

    // The bytes, without a byte order mark. Memory grows as they arrive, so an announced length costs nothing.
    private static async Task<ReadOnlyMemory<byte>> ReceiveAsync(
        HttpContext context,
        BodyMemory.Lease lease,
        ServerLimits limits,
        CancellationToken cancellation
    )
    {
        var expected = Math.Min(context.Request.ContentLength ?? limits.BodyBytes, limits.BodyBytes);
        var buffer = new byte[Math.Min(expected + 1, 16 << 10)];
        var length = 0;
        try
        {
            while (true)
            {
                if (length == buffer.Length)
                {
                    var larger = Math.Min(2L * length, expected + 1);
                    lease.Grow(larger);
                    Array.Resize(ref buffer, (int)larger);
                }

                var read = await context.Request.Body.ReadAsync(buffer.AsMemory(length), cancellation);
                length += read;
                if (read == 0)
                {
                    var mark = buffer.AsSpan(0, length).StartsWith("\uFEFF"u8) ? 3 : 0;
                    return buffer.AsMemory(mark, length - mark);
                }

                if (length > limits.BodyBytes)
                {
                    throw new BadHttpRequestException("", StatusCodes.Status413PayloadTooLarge);
                }
            }
        }
        catch (IOException e) when (e is not BadHttpRequestException && !context.RequestAborted.IsCancellationRequested)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, "The body's chunked encoding is invalid.");
        }
    }

    /// <summary>A value's kind in words.</summary>
    public static string Kind(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "a list",
            JsonValueKind.String => "a string",
            JsonValueKind.Number => $"the number {Printable.Of(value.GetRawText())}",
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
                param is null ? "A field has the wrong type." : Describe(typeof(T), root, param),
                param
            );
        }
    }

    // "'messages[2].content' is true; expected a string." Paths are in System.Text.Json's form: names, [index], ['odd
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

        return $"'{Printable.Of(path)}' is "
            + $"{Kind(value)}{(value.ValueKind == JsonValueKind.String ? " with an invalid value" : "")}; expected "
            + $"{Expected(info)}.";
    }

    private static string Expected(JsonTypeInfo? info)
    {
        var type = info is null ? null : Nullable.GetUnderlyingType(info.Type) ?? info.Type;
        return type == typeof(double) ? "a number"
            : type == typeof(int) || type == typeof(long) ? "a whole number in range"
            : type == typeof(bool) ? "true or false"
            : type == typeof(string) ? "a string"
            : info?.Kind == JsonTypeInfoKind.Enumerable ? "a list"
            : info?.Kind == JsonTypeInfoKind.Object ? "an object"
            : "another type of value";
    }
}
