using System.Text.RegularExpressions;
using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Recipes.Forms;
using GlmTune.Runs;
using GlmTune.Server;
using GlmTune.Studio.Choices;
using GlmTune.Studio.Jobs;
using GlmTune.Studio.Setup;

namespace GlmTune.Studio;

/// <summary>Starts, stops and resumes training jobs, and lists them.</summary>
/// <param name="paths">The folders of the studio.</param>
/// <param name="models">The models.</param>
/// <param name="desk">The recipe in work.</param>
/// <param name="jobs">The jobs.</param>
internal sealed partial class JobEndpoints(StudioPaths paths, ModelChoices models, RecipeDesk desk, JobList jobs)
{
    private const int ShownLines = 200;
    private const string Newest = "yes";

    /// <summary>Maps the endpoints.</summary>
    public void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/api/studio/jobs", (Delegate)List).WithSummary("Lists the training jobs, the newest first.");
        app.MapPost("/api/studio/jobs", (Delegate)StartAsync).WithSummary("Starts a training job.");
        app.MapGet("/api/studio/jobs/{name}", (Delegate)Show)
            .WithSummary("Shows a job, its recipe and its last lines.");
        app.MapPost("/api/studio/jobs/{name}/stop", (Delegate)Stop).WithSummary("Asks a job to save and stop.");
        app.MapPost("/api/studio/jobs/{name}/resume", (Delegate)ResumeAsync)
            .WithSummary("Starts a job again from its newest checkpoint.");
    }

    private Task<IResult> List(HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            reply => Task.FromResult(ApiJson.Result(new { Jobs = jobs.List().Select(job => View(job, reply)) }))
        );

    private Task<IResult> Show(string name, HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            reply =>
            {
                var job = Named(name);
                return Task.FromResult(
                    ApiJson.Result(
                        new
                        {
                            Job = View(job, reply),
                            Recipe = File.Exists(job.Folder.RecipePath)
                                ? RegularFile.ReadText(job.Folder.RecipePath)
                                : null,
                            Lines = job.Folder.LastLines(ShownLines),
                        }
                    )
                );
            }
        );

    private Task<IResult> StartAsync(HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            async reply =>
            {
                var request = await reply.ReadAsync<SetupRequest>();
                var name = request.Name ?? "";
                if (!NamePattern().IsMatch(name))
                {
                    throw new InvalidDataException(
                        $"'{name}' cannot be the name of a run: use up to 64 letters, digits, dots, hyphens and "
                            + "underscores, and start with a letter or digit."
                    );
                }

                var output = Path.Combine(paths.Options.Output, name);
                var folder = jobs.FolderOf(name);
                if (folder.Exists || Path.Exists(output))
                {
                    throw new InvalidDataException($"There is a run '{name}' already. Choose another name.");
                }

                var model = models.Named(request.Model ?? "");
                var text = YamlText.Set(request.Recipe ?? "", "training_args.output_dir", paths.NameOf(output));
                var recipe = desk.ReadWhole(text);
                if (
                    Path.GetFullPath(recipe.Training.OutputFolder, paths.Options.WorkingFolder)
                    != Path.GetFullPath(output)
                )
                {
                    throw new InvalidDataException("'training_args.output_dir' cannot be set in this recipe.");
                }

                Disk.CreateFolder(folder.FullPath);
                AtomicFile.WriteText(folder.RecipePath, text);
                var job = await jobs.StartAsync(
                    name,
                    ["train", ".", model.Name, paths.NameOf(folder.RecipePath)],
                    paths.Options.WorkingFolder
                );
                return ApiJson.Result(new { Job = View(job, reply) });
            }
        );

    private Task<IResult> ResumeAsync(string name, HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            async reply =>
            {
                var job = Named(name);
                if (job.Record is not { Arguments: ["train", var data, var model, var recipe, ..] } record)
                {
                    throw new InvalidDataException(job.Problem ?? $"The job '{name}' does not train.");
                }

                // Without a checkpoint it starts from scratch.
                string[] from = CheckpointFolder.Steps(OutputOf(name)).Count > 0 ? [Newest] : [];
                var started = await jobs.StartAsync(
                    name,
                    ["train", data, model, recipe, .. from],
                    record.WorkingFolder
                );
                return ApiJson.Result(new { Job = View(started, reply) });
            }
        );

    private Task<IResult> Stop(string name, HttpContext context) =>
        StudioReply.OfAsync(
            paths.Options,
            context,
            reply =>
            {
                _ = Named(name);
                _ = jobs.Stop(name);
                return Task.FromResult(ApiJson.Result(new { Job = View(Named(name), reply) }));
            }
        );

    private JobEntry Named(string name) =>
        (NamePattern().IsMatch(name) ? jobs.Find(name) : null)
        ?? throw new ApiException(StatusCodes.Status404NotFound, $"No job has the name '{Printable.Of(name)}'.");

    private string OutputOf(string name) => Path.GetFullPath(Path.Combine(paths.Options.Output, name));

    private object View(JobEntry job, StudioReply reply)
    {
        var output = OutputOf(job.Name);
        var steps = CheckpointFolder.Steps(output);
        return new
        {
            job.Name,
            job.State,
            Problem = job.Problem is { } problem ? reply.Text(problem) : null,
            Run = RunFolder.IdOf(output),
            Output = paths.NameOf(output),
            Model = job.Record?.Arguments is ["train", _, var model, ..] ? model : null,
            job.Record?.Created,
            job.Record?.Ended,
            job.Record?.ExitCode,
            Command = job.Record is { } record
                ? string.Join(' ', record.Arguments.Select(Quoted).Prepend("glmtune"))
                : null,
            Checkpoints = steps,
            LastLines = job.State is JobState.Died or JobState.Failed ? job.Folder.LastLines(12) : [],
        };
    }

    private static string Quoted(string argument) =>
        PlainArgument().IsMatch(argument) ? argument : $"'{argument.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    [GeneratedRegex(@"^[\p{L}\p{Nd}][\p{L}\p{Nd}._-]{0,63}\z")]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"^[\p{L}\p{Nd}._/=@:,+-]+\z")]
    private static partial Regex PlainArgument();
}
