using System.Text.Json;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace GlmTune.Server;

/// <summary>General information in the OpenAPI document.</summary>
internal sealed class ServerDocument(ServerOptions options) : IOpenApiDocumentTransformer, IOpenApiSchemaTransformer
{
    public static void Describe(OpenApiOptions document)
    {
        document.AddDocumentTransformer<ServerDocument>().AddSchemaTransformer<ServerDocument>();

        // Fields with several forms are described inline: a reference would lose the description.
        document.CreateSchemaReferenceId = type =>
            (Nullable.GetUnderlyingType(type.Type) ?? type.Type) == typeof(JsonElement)
                ? null
                : OpenApiOptions.CreateDefaultSchemaReferenceId(type);
    }

    public Task TransformAsync(
        OpenApiDocument document,
        OpenApiDocumentTransformerContext context,
        CancellationToken cancellationToken
    )
    {
        document.Info = new OpenApiInfo
        {
            Title = "GlmTune",
            Version = "v1",
            Description = "GLM-4 models and their adapters, with an OpenAI-compatible API.",
        };
        if (options.ApiKeys.Count > 0)
        {
            document.Components ??= new OpenApiComponents();
            document.Components.SecuritySchemes ??= new Dictionary<string, IOpenApiSecurityScheme>();
            document.Components.SecuritySchemes["key"] = new OpenApiSecurityScheme
            {
                Type = SecuritySchemeType.Http,
                Scheme = "bearer",
                Description = "One of the keys of --api-key-file.",
            };
            document.Security =
            [
                new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("key", document)] = [] },
            ];
        }

        return Task.CompletedTask;
    }

    public Task TransformAsync(
        OpenApiSchema schema,
        OpenApiSchemaTransformerContext context,
        CancellationToken cancellationToken
    )
    {
        if (context.JsonTypeInfo.Type == typeof(StopTexts))
        {
            var text = new OpenApiSchema { Type = JsonSchemaType.String };
            schema.AnyOf = [text, new OpenApiSchema { Type = JsonSchemaType.Array, Items = text }];
        }

        return Task.CompletedTask;
    }
}
