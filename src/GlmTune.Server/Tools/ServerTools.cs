using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Inference;
using Microsoft.Extensions.AI;

namespace GlmTune.Server;

/// <summary>Functions that the chat page may run on this machine, one call at a time: the page shows each call of the
/// model, and runs it after the user confirms.</summary>
/// <remarks>Nothing runs by itself: requests to <c>/v1</c> only return calls. Thread-safe if the functions
/// are.</remarks>
internal sealed class ServerTools
{
    private static readonly TimedCall Call = new(TimeSpan.FromMinutes(1), MaxResultCharacters: 32_768);

    private readonly IReadOnlyList<AIFunction> functions;
    private readonly IReadOnlyCollection<string> allowed;

    /// <param name="functions">The functions.</param>
    /// <param name="allowed">Names of functions that run without confirmation.</param>
    /// <exception cref="InvalidDataException">Two functions have the same name, or an allowed name is not among
    /// them.</exception>
    public ServerTools(IReadOnlyList<AIFunction> functions, IReadOnlyCollection<string> allowed)
    {
        (this.functions, this.allowed) = (functions, allowed);
        var names = functions.Select(function => function.Name).ToList();
        if (names.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new InvalidDataException($"Two tools are named '{twice.Key}'.");
        }

        if (allowed.Except(names).ToList() is { Count: > 0 } unknown)
        {
            throw new InvalidDataException(
                $"--allow {string.Join(", ", unknown)}: unknown tool; available: "
                    + $"{(names.Count == 0 ? "none" : string.Join(", ", names))}."
            );
        }
    }

    /// <summary>No functions.</summary>
    public static ServerTools None { get; } = new([], []);

    /// <summary>Maps <c>/api/tools</c>, the list, and <c>/api/tools/call</c>.</summary>
    internal void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/api/tools", List).WithSummary("Lists the functions that the chat page may run on the server.");
        app.MapPost("/api/tools/call", CallAsync)
            .Accepts<ToolCallRequest>("application/json")
            .WithSummary("Runs a function after the user has confirmed it.");
    }

    private IResult List() =>
        Json(
            new JsonObject
            {
                ["tools"] = new JsonArray([
                    .. functions.Select(function => new JsonObject
                    {
                        ["name"] = function.Name,
                        ["description"] = function.Description,
                        ["parameters"] = JsonNode.Parse(function.JsonSchema.GetRawText()),
                        ["allowed"] = allowed.Contains(function.Name),
                    }),
                ]),
            }
        );

    private async Task<IResult> CallAsync(HttpContext context, ServerOptions options)
    {
        var request = await RequestBody.ReadAsync<ToolCallRequest>(context, options.Limits);
        var function =
            functions.FirstOrDefault(each => each.Name == request.Name)
            ?? throw new ApiException(
                StatusCodes.Status404NotFound,
                $"Unknown tool '{Printable.Of(request.Name ?? "")}'; available: "
                    + $"{(functions.Count == 0 ? "none" : string.Join(", ", functions.Select(each => each.Name)))}.",
                "name"
            );
        if (request.Arguments is not { ValueKind: JsonValueKind.Object } arguments)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, "'arguments' must be an object.", "arguments");
        }

        var given = new AIFunctionArguments(
            arguments
                .EnumerateObject()
                .DistinctBy(each => each.Name)
                .ToDictionary(each => each.Name, each => (object?)each.Value)
        );
        return Json(new JsonObject { ["result"] = await Call.RunAsync(function, given, context.RequestAborted) });
    }

    private static IResult Json(JsonObject body) =>
        Results.Text(body.ToJsonString(ApiJson.Options), "application/json");
}

/// <summary>The body of <c>POST /api/tools/call</c>.</summary>
internal sealed record ToolCallRequest
{
    /// <summary>Name of the function.</summary>
    public string? Name { get; init; }

    /// <summary>Its arguments by name.</summary>
    public JsonElement? Arguments { get; init; }
}
