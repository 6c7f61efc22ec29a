using System.Globalization;
using GlmTune.Server;
using GlmTune.Server.Board;
using GlmTune.Studio.Chat;
using GlmTune.Studio.Choices;

namespace GlmTune.Studio;

/// <summary>Loads a model or a checkpoint for the chat page.</summary>
/// <param name="paths">The folders of the studio.</param>
/// <param name="models">The models.</param>
/// <param name="board">Finds the runs.</param>
/// <param name="chat">The process with the model.</param>
internal sealed class ChatEndpoints(StudioPaths paths, ModelChoices models, RunBoard board, ChatHost chat)
{
    private const int ShownLines = 12;

    /// <summary>Maps the endpoints.</summary>
    public void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/api/studio/chat", (Delegate)Show).WithSummary("Says which model is loaded, or being loaded.");
        app.MapPost("/api/studio/chat", (Delegate)StartAsync).WithSummary("Loads a model, or a checkpoint of a run.");
        app.MapPost("/api/studio/chat/stop", (Delegate)StopAsync).WithSummary("Frees the memory of the model.");
    }

    private Task<IResult> Show(HttpContext context) =>
        StudioReply.OfAsync(paths.Options, context, _ => Task.FromResult(ApiJson.Result(View())));

    private Task<IResult> StartAsync(HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            async reply =>
            {
                var request = await reply.ReadAsync<ChatRequest>();
                if (request.Run is { } id)
                {
                    var run =
                        await board.FindAsync(id)
                        ?? throw new ApiException(StatusCodes.Status404NotFound, "No such run.");
                    var (path, step) = ChatHost.CheckpointOf(run.FullPath, request.Step);
                    await chat.StartAsync(
                        path,
                        string.Create(
                            CultureInfo.InvariantCulture,
                            $"{Path.GetFileName(run.FullPath).Replace('=', '-')}-{step}"
                        )
                    );
                }
                else
                {
                    var model = models.Named(request.Model ?? "");
                    await chat.StartAsync(model.Folder, Path.GetFileName(model.Name));
                }

                return ApiJson.Result(View());
            }
        );

    private Task<IResult> StopAsync(HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            async _ =>
            {
                await chat.EndAsync();
                return ApiJson.Result(View());
            }
        );

    private object View()
    {
        var entry = chat.Entry;
        return new
        {
            chat.Title,
            State = entry is null ? "none"
            : chat.Find() is not null ? "ready"
            : !entry.IsOver ? "loading"
            : entry.State is Jobs.JobState.Failed or Jobs.JobState.Died ? "failed"
            : "none",
            Lines = entry is null ? [] : entry.Folder.LastLines(ShownLines),
        };
    }
}

/// <summary>The body of <c>POST /api/studio/chat</c>: a run or a model.</summary>
internal sealed record ChatRequest
{
    /// <summary>Id of a run.</summary>
    public string? Run { get; init; }

    /// <summary>Step of its checkpoint; null: the newest.</summary>
    public long? Step { get; init; }

    /// <summary>Name of a listed model.</summary>
    public string? Model { get; init; }
}
