using System.Text.Json.Nodes;
using GlmTune.Recipes.Forms;
using GlmTune.Server;
using GlmTune.Studio.Choices;
using GlmTune.Studio.Setup;

namespace GlmTune.Studio;

/// <summary>What is chosen and checked before a run is started: models, data, the recipe, memory.</summary>
/// <param name="paths">The folders of the studio.</param>
/// <param name="models">The models.</param>
/// <param name="desk">The recipe in work.</param>
internal sealed class SetupEndpoints(StudioPaths paths, ModelChoices models, RecipeDesk desk)
{
    private readonly DataChoices data = new(paths);
    private readonly MemoryCheck memory = new(paths);

    // Checking reads whole files; one at a time is enough.
    private static readonly SemaphoreSlim Checking = new(1);

    /// <summary>Maps the endpoints.</summary>
    public void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/api/studio", (Delegate)Choices).WithSummary("Lists models, data files and recipes.");
        app.MapGet("/api/studio/form", (Delegate)Form).WithSummary("Lists the fields of a recipe.");
        app.MapPost("/api/studio/recipe", (Delegate)RecipeAsync).WithSummary("Changes keys of a recipe and reads it.");
        app.MapPost("/api/studio/check", (Delegate)CheckAsync).WithSummary("Checks the data of a recipe.");
        app.MapPost("/api/studio/plan", (Delegate)PlanAsync).WithSummary("Plans the memory of a run.");
    }

    private Task<IResult> Choices(HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            reply =>
                Task.FromResult(
                    ApiJson.Result(
                        new
                        {
                            Folder = paths.Options.WorkingFolder,
                            Output = paths.NameOf(paths.Options.Output),
                            Models = models
                                .List()
                                .Select(model => new
                                {
                                    model.Name,
                                    model.IsDownloaded,
                                    model.Parameters,
                                    Problem = model.Problem is { } problem ? reply.Text(problem) : null,
                                }),
                            Data = data.List(),
                            Recipes = RecipeDesk.Shipped,
                        }
                    )
                )
        );

    private static IResult Form() =>
        ApiJson.Result(
            new
            {
                Fields = RecipeForm.Fields.Select(field => new
                {
                    field.Key.Path,
                    field.Section,
                    field.Key.Default,
                    field.Key.Shape.Kind,
                    field.Key.Shape.Least,
                    field.Key.Shape.Most,
                    field.Key.Shape.TakesAuto,
                    field.Key.Shape.Words,
                    field.Adapter,
                    Group = (string[])[field.English.Group, field.Chinese.Group],
                    Meaning = (string[])[field.English.Meaning, field.Chinese.Meaning],
                }),
            }
        );

    private Task<IResult> RecipeAsync(HttpContext context) =>
        AnswerAsync(
            context,
            async (reply, request) =>
            {
                var view = desk.View(request.Recipe ?? "", request.Set ?? new Dictionary<string, string?>());
                return ApiJson.Result(
                    view with
                    {
                        Problems = reply.Texts(view.Problems),
                        Notes = reply.Texts(view.Notes),
                    }
                );
            }
        );

    private Task<IResult> CheckAsync(HttpContext context) =>
        AnswerAsync(
            context,
            async (reply, request) =>
            {
                var model = models.Named(request.Model ?? "");
                var (recipe, problems) = desk.Read(request.Recipe ?? "");
                if (recipe is null || paths.FindProblems(recipe).Any())
                {
                    throw new InvalidDataException(string.Join('\n', problems));
                }

                await Checking.WaitAsync(context.RequestAborted);
                try
                {
                    var found = await Task.Run(
                        () =>
                            DataCheckup.Of(
                                recipe,
                                paths.Options.WorkingFolder,
                                model.Folder,
                                paths.NameOf,
                                context.RequestAborted
                            ),
                        context.RequestAborted
                    );
                    return ApiJson.Result(
                        found with
                        {
                            Problems = reply.Texts(found.Problems),
                            Files =
                            [
                                .. found.Files.Select(file =>
                                    file with
                                    {
                                        Errors = reply.Texts(file.Errors),
                                        Notes = reply.Texts(file.Notes),
                                    }
                                ),
                            ],
                        }
                    );
                }
                finally
                {
                    Checking.Release();
                }
            }
        );

    private Task<IResult> PlanAsync(HttpContext context) =>
        AnswerAsync(
            context,
            async (reply, request) =>
            {
                var model = models.Named(request.Model ?? "");
                desk.ReadWhole(request.Recipe ?? "");
                var plan = await memory.PlanAsync(
                    request.Recipe!,
                    model.Folder,
                    request.GpuMemory,
                    context.RequestAborted
                );
                foreach (var name in (string[])["changes", "other_ways", "applied"])
                {
                    reply.Translate(plan[name]);
                }

                foreach (
                    var part in ((string[])["device", "host"])
                        .SelectMany(name => plan[name]?.AsArray() ?? [])
                        .OfType<JsonObject>()
                )
                {
                    part["name"] = reply.Text($"{part["name"]}");
                }

                return Results.Text(plan.ToJsonString(ApiJson.Options), "application/json");
            }
        );

    private Task<IResult> AnswerAsync(HttpContext context, Func<StudioReply, SetupRequest, Task<IResult>> answer) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            async reply => await answer(reply, await reply.ReadAsync<SetupRequest>())
        );
}
