using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary><c>/v1/models</c>: the available models.</summary>
internal static class ModelEndpoints
{
    public static void MapModels(this IEndpointRouteBuilder app)
    {
        app.MapGet(
                "/v1/models",
                (ServedModels models) =>
                    ApiJson.Result(new ModelList([.. models.All.Select(model => Listed(models, model))]))
            )
            .Produces<ModelList>()
            .WithSummary("Lists the base model and each adapter.");
        // Ids such as org/name contain a slash, which some clients escape; the path keeps the escape.
        app.MapGet(
                "/v1/models/{**id}",
                (string id, ServedModels models) =>
                    ApiJson.Result(
                        Listed(models, models.Named(id.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase)))
                    )
            )
            .Produces<ListedModel>()
            .WithSummary("Returns the model with this id.");
    }

    private static ListedModel Listed(ServedModels models, ServedModel model) =>
        new(model.Id, models.Created.ToUnixTimeSeconds(), model.Parent ?? model.Id, model.Parent)
        {
            MaxModelLen = model.Chat.Scheduler.Generator.MaxLength,
            Defaults = DefaultsOf(model.Chat.Scheduler.Generator.Defaults.Over(GenerationOptions.Defaults)),
        };

    // A temperature of 0 is how requests ask for the most likely token.
    private static SamplingDefaults DefaultsOf(GenerationOptions options) =>
        new(
            options.DoSample == true ? options.Temperature!.Value : 0,
            options.TopP!.Value,
            options.MaxNewTokens!.Value,
            options.RepetitionPenalty!.Value
        );

    /// <summary>What holds where a request leaves a field out, by the fields' names.</summary>
    private sealed record SamplingDefaults(double Temperature, double TopP, int MaxTokens, double RepetitionPenalty);

    private sealed record ModelList(IReadOnlyList<ListedModel> Data)
    {
        public string Object { get; } = "list";
    }

    private sealed record ListedModel(string Id, long Created, string Root, string? Parent)
    {
        public string Object { get; } = "model";

        public string OwnedBy { get; } = "glmtune";

        public required int MaxModelLen { get; init; }

        public required SamplingDefaults Defaults { get; init; }
    }
}
