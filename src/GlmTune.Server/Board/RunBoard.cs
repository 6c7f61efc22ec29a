using System.Text.Json.Nodes;
using GlmTune.Runs;
using GlmTune.Server.Pages;

namespace GlmTune.Server.Board;

/// <summary>The training page and its API: the runs found in some folders, and their logs as they grow.</summary>
/// <remarks>Runs are identified by ids from a search of the folders, so no part of a request is ever used as a path.
/// What is in the folders is not trusted: a damaged run is listed with its problem and hides no other.
/// Thread-safe.</remarks>
internal sealed class RunBoard
{
    private const int MaxTextCharacters = 2000;

    private readonly bool hasChat;
    private readonly int folderCount;
    private readonly RunWatch watch;

    /// <summary>Creates the page for some folders.</summary>
    /// <param name="folders">Folders to search for runs whenever the list is requested.</param>
    /// <param name="hasChat">Whether the server also has the chat page.</param>
    public RunBoard(IReadOnlyList<string> folders, bool hasChat)
        : this(folders, hasChat, BoardPatience.Usual) { }

    internal RunBoard(IReadOnlyList<string> folders, bool hasChat, BoardPatience patience)
    {
        ArgumentNullException.ThrowIfNull(folders);
        (this.hasChat, folderCount) = (hasChat, folders.Count);
        watch = new RunWatch(folders, new BackgroundReader(patience.Read), patience.Request);
    }

    /// <summary>Whether the page is part of a studio, which has the chat page at an address of its own and can load
    /// checkpoints.</summary>
    public bool IsInStudio { get; init; }

    /// <summary>The run with an id; null if there is none.</summary>
    public Task<RunFolder?> FindAsync(string id) => watch.FindAsync(id);

    /// <summary>Creates a server that has only the training page; the caller starts, stops and disposes it.</summary>
    /// <param name="folders">Output folders, or their parent folders.</param>
    /// <param name="options">Address, access rules and limits.</param>
    /// <exception cref="InvalidDataException">The host is not an address.</exception>
    public static WebApplication CreateServer(IReadOnlyList<string> folders, ServerOptions options) =>
        CreateServer(folders, options, BoardPatience.Usual);

    internal static WebApplication CreateServer(
        IReadOnlyList<string> folders,
        ServerOptions options,
        BoardPatience patience
    ) =>
        ServerApp.Create(
            options,
            null,
            app =>
            {
                app.MapHealth();
                app.MapPageFiles();
                app.MapGet("/", () => Results.Redirect("/runs")).AllowWithoutKey().ExcludeFromDescription();
                new RunBoard(folders, hasChat: false, patience).Map(app);
            }
        );

    /// <summary>Maps <c>/runs</c> and what is under <c>/api/runs</c>.</summary>
    internal void Map(WebApplication app)
    {
        var log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("glmtune");
        watch.Failed = error => log.RequestFailed(error, "/api/runs");
        app.MapPage("/runs", "runs.html");
        app.MapGet("/api/runs", ListAsync).WithSummary("Lists the training runs, most recently active first.");
        app.MapGet("/api/runs/{id}", DescribeAsync)
            .WithSummary("Describes a run: its recipe, versions, device and sizes.");
        app.MapGet("/api/runs/{id}/log", LogAsync).WithSummary("Returns the lines of a run's log from a position.");
    }

    private async Task<IResult> ListAsync()
    {
        var (entries, problems) = await watch.LatestAsync();
        var listed = entries
            .OrderByDescending(each => each.Status.State == RunState.Running)
            .ThenByDescending(each => each.Status.LastTime)
            .ThenBy(each => each.Run.Name, StringComparer.Ordinal);
        return Json(
            new JsonObject
            {
                ["chat"] = hasChat,
                ["studio"] = IsInStudio,
                ["folders"] = folderCount,
                ["problems"] = new JsonArray([.. problems.Select(problem => (JsonNode)problem)]),
                ["runs"] = new JsonArray([
                    .. listed.Select(each => new JsonObject
                    {
                        ["id"] = each.Run.Id,
                        ["name"] = each.Run.Name,
                        ["state"] = each.Status.State.Word(),
                        ["step"] = each.Status.Step,
                        ["total_steps"] = each.Status.TotalSteps,
                        ["started"] = each.Started,
                        ["last_time"] = each.Status.LastTime,
                        ["loss"] = each.Status.Loss,
                        ["eval_loss"] = each.Status.EvaluationLoss,
                        ["tokens_per_second"] = each.Status.TokensPerSecond,
                        ["error"] = Shortened(each.Status.Error),
                        ["problem"] = Shortened(each.Status.Problem),
                    }),
                ]),
            }
        );
    }

    private async Task<IResult> DescribeAsync(string id)
    {
        var run = await NamedAsync(id);
        var body = new JsonObject { ["id"] = run.Id, ["name"] = run.Name };
        try
        {
            body["description"] = await ReadAsync(run, run.Describe);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            (body["description"], body["problem"]) = (null, Shortened(error.Message));
        }

        return Json(body);
    }

    private async Task<IResult> LogAsync(string id, HttpRequest request)
    {
        var run = await NamedAsync(id);
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
        RunLogPart part;
        try
        {
            part = await ReadAsync(run, () => run.ReadLog(from));
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ApiException(
                StatusCodes.Status404NotFound,
                "The run's log cannot be read; was its folder removed?"
            );
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            part = new RunLogPart([], from, from, false) { Problem = error.Message };
        }

        return Json(
            new JsonObject
            {
                ["from"] = part.From,
                ["next"] = part.Next,
                ["more"] = part.HasMore,
                ["problem"] = Shortened(part.Problem),
                ["lines"] = new JsonArray([.. part.Lines.Select(line => JsonObject.Create(line))]),
            }
        );
    }

    private async Task<T> ReadAsync<T>(RunFolder run, Func<T> read)
    {
        try
        {
            return await watch.ReadAsync(run, read);
        }
        catch (TimeoutException error)
        {
            throw new ApiException(StatusCodes.Status503ServiceUnavailable, error.Message) { RetryAfterSeconds = 10 };
        }
    }

    private async Task<RunFolder> NamedAsync(string id) =>
        await watch.FindAsync(id) ?? throw new ApiException(StatusCodes.Status404NotFound, "No such run.");

    // A list of many runs stays small, whatever their logs say.
    private static string? Shortened(string? text) =>
        text is { Length: > MaxTextCharacters } ? $"{text[..MaxTextCharacters]} …" : text;

    private static IResult Json(JsonObject body) =>
        Results.Text(body.ToJsonString(ApiJson.Options), "application/json");
}

/// <summary>How long the training page waits for files.</summary>
/// <param name="Read">For one read; then it is given up.</param>
/// <param name="Request">For a fresh list; then the last one is shown.</param>
internal sealed record BoardPatience(TimeSpan Read, TimeSpan Request)
{
    public static BoardPatience Usual { get; } = new(TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(4));
}
