using System.Text.Json.Nodes;
using GlmTune.Runs;
using GlmTune.Server.Pages;

namespace GlmTune.Server.Board;

/// <summary>The training page and its API: the runs found in some folders, and their logs as they grow.</summary>
/// <remarks>Runs are identified by ids from a search of the folders, so no part of a request is ever used as a path.
/// Thread-safe.</remarks>
/// <param name="folders">Folders to search for runs whenever the list is requested, at most once per second.</param>
/// <param name="hasChat">Whether the server also has the chat page.</param>
public sealed class RunBoard(IReadOnlyList<string> folders, bool hasChat)
{
    private static readonly TimeSpan SearchInterval = TimeSpan.FromSeconds(1);
    private readonly Lock searching = new();
    private Dictionary<string, RunFolder> runs = [];
    private long searched;

    /// <summary>Creates a server that has only the training page; the caller starts, stops and disposes it.</summary>
    /// <param name="folders">Output folders, or their parent folders.</param>
    /// <param name="options">Address, access rules and limits.</param>
    /// <exception cref="InvalidDataException">The host is not an address.</exception>
    public static WebApplication CreateServer(IReadOnlyList<string> folders, ServerOptions options) =>
        ServerApp.Create(
            options,
            null,
            app =>
            {
                app.MapHealth();
                app.MapPageFiles();
                app.MapGet("/", () => Results.Redirect("/runs")).AllowWithoutKey().ExcludeFromDescription();
                new RunBoard(folders, hasChat: false).Map(app);
            }
        );

    /// <summary>Maps <c>/runs</c> and what is under <c>/api/runs</c>.</summary>
    internal void Map(IEndpointRouteBuilder app)
    {
        app.MapPage("/runs", "runs.html");
        app.MapGet("/api/runs", List).WithSummary("Lists the training runs, most recently active first.");
        app.MapGet("/api/runs/{id}", Describe).WithSummary("Describes a run: its recipe, versions, device and sizes.");
        app.MapGet("/api/runs/{id}/log", Log).WithSummary("Returns the lines of a run's log from a position.");
    }

    private IResult List()
    {
        var listed = Runs()
            .Values.Select(run => (Run: run, Status: Status(run), Description: RunDescription.ReadOrNull(run.FullPath)))
            .Where(each => each.Status is not null)
            .OrderByDescending(each => each.Status!.State == RunState.Running)
            .ThenByDescending(each => each.Status!.LastTime)
            .ThenBy(each => each.Run.Name, StringComparer.Ordinal);
        return Json(
            new JsonObject
            {
                ["chat"] = hasChat,
                ["folders"] = folders.Count,
                ["runs"] = new JsonArray([
                    .. listed.Select(each => new JsonObject
                    {
                        ["id"] = each.Run.Id,
                        ["name"] = each.Run.Name,
                        ["state"] = each.Status!.State.Word(),
                        ["step"] = each.Status.Step,
                        ["total_steps"] = each.Status.TotalSteps,
                        ["started"] = each.Description?.Started,
                        ["last_time"] = each.Status.LastTime,
                        ["loss"] = each.Status.Loss,
                        ["eval_loss"] = each.Status.EvaluationLoss,
                        ["error"] = each.Status.Error,
                    }),
                ]),
            }
        );
    }

    private IResult Describe(string id)
    {
        var run = Named(id);
        return Json(
            new JsonObject
            {
                ["id"] = run.Id,
                ["name"] = run.Name,
                ["description"] = run.Describe(),
            }
        );
    }

    private IResult Log(string id, HttpRequest request)
    {
        var run = Named(id);
        var from = request.Query["from"] is [{ } text]
            ? long.TryParse(
                text,
                System.Globalization.NumberStyles.None,
                System.Globalization.CultureInfo.InvariantCulture,
                out var place
            )
                ? place
                : throw new ApiException(
                    StatusCodes.Status400BadRequest,
                    "'from' must be the position where the last part ended: a whole number, or nothing for "
                        + "the beginning.",
                    "from"
                )
            : 0;
        try
        {
            var part = run.ReadLog(from);
            return Json(
                new JsonObject
                {
                    ["from"] = part.From,
                    ["next"] = part.Next,
                    ["more"] = part.HasMore,
                    ["lines"] = new JsonArray([.. part.Lines.Select(line => JsonObject.Create(line))]),
                }
            );
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ApiException(
                StatusCodes.Status404NotFound,
                "The run's log cannot be read; was its folder removed?"
            );
        }
    }

    // A run whose folder has disappeared, or cannot be read, does not exist.
    private static RunStatus? Status(RunFolder run)
    {
        try
        {
            return run.ReadStatus();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private RunFolder Named(string id) =>
        Runs(searchAgain: false).TryGetValue(id, out var run) || Runs().TryGetValue(id, out run)
            ? run
            : throw new ApiException(StatusCodes.Status404NotFound, "No such run.");

    // Runs already known keep their objects, with what they have read.
    private Dictionary<string, RunFolder> Runs(bool searchAgain = true)
    {
        lock (searching)
        {
            if (
                searched == 0
                || (searchAgain && System.Diagnostics.Stopwatch.GetElapsedTime(searched) > SearchInterval)
            )
            {
                var found = new Dictionary<string, RunFolder>();
                foreach (var run in folders.SelectMany(RunFolder.Find))
                {
                    found.TryAdd(run.Id, runs.GetValueOrDefault(run.Id) ?? run);
                }

                runs = found;
                searched = System.Diagnostics.Stopwatch.GetTimestamp();
            }

            return runs;
        }
    }

    private static IResult Json(JsonObject body) =>
        Results.Text(body.ToJsonString(ApiJson.Options), "application/json");
}
