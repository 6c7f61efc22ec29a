using GlmTune.Files;
using GlmTune.Kernels.Memory;

namespace GlmTune.Server;

/// <summary><c>POST /v1/load_lora_adapter</c> and <c>/v1/unload_lora_adapter</c>: adapters come and go while the server
/// answers.</summary>
/// <remarks>An adapter that is unloaded takes no further requests; those that use it are answered first.</remarks>
internal sealed class AdapterEndpoint(
    ServedModels models,
    ServerOptions options,
    IAdapterLoader loader,
    ILoggerFactory logs
) : IAsyncDisposable
{
    private const int MaxNameLength = 256;

    private readonly SemaphoreSlim turn = new(1, 1);
    private readonly Lock gate = new();
    private readonly Dictionary<string, Task> leaving = new(StringComparer.Ordinal);
    private readonly ILogger log = logs.CreateLogger("glmtune");
    private bool isClosed;

    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPost(
                "/v1/load_lora_adapter",
                (HttpContext context, AdapterEndpoint endpoint) => endpoint.LoadAsync(context)
            )
            .Accepts<LoadAdapterRequest>("application/json")
            .Produces<string>()
            .WithErrors()
            .WithSummary("Loads an adapter of the base model.");
        app.MapPost(
                "/v1/unload_lora_adapter",
                (HttpContext context, AdapterEndpoint endpoint) => endpoint.UnloadAsync(context)
            )
            .Accepts<UnloadAdapterRequest>("application/json")
            .Produces<string>()
            .WithErrors()
            .WithSummary("Unloads an adapter when the requests that use it are answered.");
    }

    /// <summary>Waits until nothing is being loaded or unloaded, after which the model may be disposed.</summary>
    public async ValueTask DisposeAsync()
    {
        await turn.WaitAsync();
        isClosed = true;
        turn.Release();
    }

    private async Task<IResult> LoadAsync(HttpContext context)
    {
        var request = await RequestBody.ReadAsync<LoadAdapterRequest>(context, options.Limits);
        var problems = new FieldProblems();
        CheckName(problems, request.LoraName);
        problems.Check(!string.IsNullOrWhiteSpace(request.LoraPath), "lora_path", "is missing; expected a folder");
        problems.Check(
            request.LoadInplace != true,
            "load_inplace",
            "is not supported: unload the adapter, then load the other one"
        );
        problems.ThrowIfAny();
        var (name, folder) = (request.LoraName!, FolderAt(request.LoraPath!));
        await turn.WaitAsync(context.RequestAborted);
        try
        {
            CheckFree(name);
            await Task.Run(() => Load(name, folder), CancellationToken.None);
            models.TryAdd(new ServedModel(name, models.All[0].Chat) { Adapter = name, Parent = models.All[0].Id });
        }
        finally
        {
            turn.Release();
        }

        log.AdapterLoaded(Printable.Of(name), Printable.Of(folder));
        return Results.Text($"Success: the adapter '{name}' is loaded.");
    }

    private async Task<IResult> UnloadAsync(HttpContext context)
    {
        var request = await RequestBody.ReadAsync<UnloadAdapterRequest>(context, options.Limits);
        var problems = new FieldProblems();
        CheckName(problems, request.LoraName);
        problems.ThrowIfAny();
        var name = request.LoraName!;
        Task? done;
        lock (gate)
        {
            if (!leaving.TryGetValue(name, out done))
            {
                var model = models.Find(name) ?? throw Unknown(name);
                if (model.Parent is null)
                {
                    throw ApiException.Wrong("lora_name", $"'{Printable.Of(name)}' is not an adapter.");
                }

                models.TryRemove(model);
                done = leaving[name] = LeaveAsync(model);
            }
        }

        // It goes on if the client does not wait for it.
        await done.WaitAsync(context.RequestAborted);
        return Results.Text($"Success: the adapter '{name}' is unloaded.");
    }

    private async Task LeaveAsync(ServedModel model)
    {
        await Task.Yield(); // The caller notes this task first.
        await model.Requests.CloseAsync();
        await turn.WaitAsync();
        try
        {
            if (!isClosed)
            {
                await Task.Run(() => loader.Unload(model.Adapter!));
            }
        }
        finally
        {
            lock (gate)
            {
                leaving.Remove(model.Id);
            }

            turn.Release();
        }

        log.AdapterUnloaded(Printable.Of(model.Id));
    }

    private void Load(string name, string folder)
    {
        try
        {
            ObjectDisposedException.ThrowIf(isClosed, this);
            CheckLinks(folder);
            loader.Load(name, folder);
        }
        catch (Exception error) when (AllocationFailure.Find(error) is not null)
        {
            throw new ApiException(
                StatusCodes.Status507InsufficientStorage,
                $"There is no memory for the adapter '{Printable.Of(name)}'. Unload another one, or start the server "
                    + "with a lower --gpu-memory or --max-loras.",
                "lora_path",
                "out_of_memory"
            );
        }
        catch (Exception error)
            when (error is InvalidDataException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw ApiException.Wrong("lora_path", error.Message);
        }
    }

    private void CheckFree(string name)
    {
        lock (gate)
        {
            if (leaving.ContainsKey(name))
            {
                throw ApiException.Wrong(
                    "lora_name",
                    $"The adapter '{Printable.Of(name)}' is being unloaded: requests that use it are still answered."
                );
            }
        }

        if (models.Find(name) is not null)
        {
            throw ApiException.Wrong(
                "lora_name",
                $"A model named '{Printable.Of(name)}' is loaded already; unload it, or choose another name."
            );
        }
    }

    private string FolderAt(string path)
    {
        // Whoever asks learns nothing about paths outside.
        var folder = path.Contains('\0', StringComparison.Ordinal) ? null : RealPathOf(path);
        if (folder is null || !RealPath.IsWithin(folder, loader.Root))
        {
            throw new ApiException(
                StatusCodes.Status403Forbidden,
                $"'{Printable.Of(path)}' is not below the folder that --adapter-root allows.",
                "lora_path",
                "path_not_allowed"
            );
        }

        return Directory.Exists(folder)
            ? folder
            : throw ApiException.Wrong("lora_path", $"There is no folder '{Printable.Of(path)}'.");
    }

    private void CheckLinks(string folder)
    {
        var outside = Directory.EnumerateFiles(folder).FirstOrDefault(file => !RealPath.IsWithin(file, loader.Root));
        if (outside is not null)
        {
            throw new ApiException(
                StatusCodes.Status403Forbidden,
                $"'{Printable.Of(Path.GetFileName(outside))}' leads to a file that is not below the folder that "
                    + "--adapter-root allows.",
                "lora_path",
                "path_not_allowed"
            );
        }
    }

    private string? RealPathOf(string path)
    {
        try
        {
            return RealPath.Of(Path.Combine(loader.Root, path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    private static void CheckName(FieldProblems problems, string? name) =>
        problems.Check(
            !string.IsNullOrWhiteSpace(name) && name.Length <= MaxNameLength && !name.Any(char.IsControl),
            "lora_name",
            name is null
                ? "is missing; expected a name"
                : $"is not a name of 1 to {MaxNameLength} characters without control characters"
        );

    private ApiException Unknown(string name)
    {
        var loaded = models.All.Where(model => model.Parent is not null).Select(model => model.Id);
        return new(
            StatusCodes.Status404NotFound,
            $"The adapter '{Printable.Of(name)}' is not loaded; loaded: "
                + $"{string.Join(", ", loaded.DefaultIfEmpty("none"))}.",
            "lora_name",
            "model_not_found"
        );
    }
}
