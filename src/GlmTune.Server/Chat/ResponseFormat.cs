using System.Text.Json;
using GlmTune.Constraints;

namespace GlmTune.Server;

/// <summary>The field <c>response_format</c>: the form of a plain answer.</summary>
internal static class ResponseFormat
{
    /// <summary>Location of the schema in a request.</summary>
    public const string Schema = "response_format.json_schema.schema";

    /// <returns>Null for text.</returns>
    /// <exception cref="ApiException">400: the form is unknown, or its schema is too long.</exception>
    public static AnswerContent? Read(JsonElement? format, ServerLimits limits)
    {
        if (format is not { ValueKind: not JsonValueKind.Null } given)
        {
            return null;
        }

        if (given.ValueKind != JsonValueKind.Object)
        {
            throw ApiException.Wrong(
                "response_format",
                $"'response_format' is {RequestBody.Kind(given)}; expected an object such as {{\"type\": "
                    + $"\"json_object\"}}."
            );
        }

        switch (
            given.TryGetProperty("type", out var named) && named.ValueKind == JsonValueKind.String
                ? named.GetString()!
                : null
        )
        {
            case "text":
                return null;
            case "json_object":
                return new AnswerContent(null);
            case "json_schema":
                return new AnswerContent(SchemaOf(given, limits));
            default:
                throw ApiException.Wrong(
                    "response_format.type",
                    "'response_format' needs type text, json_object or json_schema."
                );
        }
    }

    private static JsonElement SchemaOf(JsonElement format, ServerLimits limits)
    {
        if (!format.TryGetProperty("json_schema", out var wrapper) || wrapper.ValueKind != JsonValueKind.Object)
        {
            throw ApiException.Wrong(
                "response_format.json_schema",
                "'response_format.json_schema' must be an object with a 'schema'."
            );
        }

        if (
            !wrapper.TryGetProperty("schema", out var schema)
            || schema.ValueKind is not (JsonValueKind.Object or JsonValueKind.True)
        )
        {
            throw ApiException.Wrong(
                Schema,
                $"'{Schema}' is "
                    + $"{(schema.ValueKind == JsonValueKind.Undefined ? "missing" : RequestBody.Kind(schema))}; "
                    + "expected an object."
            );
        }

        return schema.GetRawText().Length <= limits.SchemaBytes
            ? schema
            : throw ApiException.Wrong(Schema, $"The schema is longer than {limits.SchemaBytes} characters.");
    }
}
