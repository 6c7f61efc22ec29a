using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;
using GlmTune.Hub.Caches;
using GlmTune.Hub.Sites;

namespace GlmTune.Hub.Downloading;

/// <summary>Downloads models into the caches of their sites.</summary>
internal sealed class ModelPull
{
    private const int Connections = 4;
    private readonly Func<string, string?> variable;
    private readonly TransferTiming timing;

    /// <summary>Downloads as the environment of this process says.</summary>
    public ModelPull()
        : this(Environment.GetEnvironmentVariable, new TransferTiming()) { }

    internal ModelPull(Func<string, string?> variable, TransferTiming timing) =>
        (this.variable, this.timing) = (variable, timing);

    /// <summary>Called with the progress, from any thread.</summary>
    public Action<PullProgress>? Progressed { get; init; }

    /// <summary>Called with notes for the user.</summary>
    public Action<string> Noted { get; init; } = _ => { };

    /// <summary>Checks a model before its weights are downloaded; throws if it is of no use. The folder holds its
    /// configuration, tokenizer and index.</summary>
    public Action<string> Examine { get; init; } = _ => { };

    /// <summary>Downloads what this program reads of a model: weights in safetensors files, configuration, tokenizer,
    /// chat template.</summary>
    /// <param name="site">The site.</param>
    /// <param name="name">The model.</param>
    /// <param name="stop">Cancels the download; what was received is kept for the next time.</param>
    /// <exception cref="InvalidDataException">The site does not have the model or refuses it, the model cannot be read,
    /// or files are not as listed.</exception>
    /// <exception cref="IOException">The site cannot be reached, or the cache cannot be written.</exception>
    public async Task<PulledModel> RunAsync(ModelSite site, HubName name, CancellationToken stop)
    {
        var caches = ModelCaches.FromEnvironment(variable);
        var access = SiteAccess.FromEnvironment(site, variable);
        if (access.IsOffline)
        {
            return Cached(caches, site, name)
                ?? throw new InvalidDataException(
                    $"{name}: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so nothing is downloaded, and the model "
                        + "is "
                        + "not in the cache. Unset it, or copy the cache from a machine that has the model."
                );
        }

        using var client = new SiteClient(access, timing);
        IRepositorySite repository =
            site == ModelSite.HuggingFace ? new HuggingFaceSite(client) : new ModelScopeSite(client);
        var listing = await repository.ListAsync(name, stop).ConfigureAwait(false);
        var counter = new TransferCounter(Progressed);
        var store = StoreFor(caches, site, name, listing);
        var small = await CompleteAsync(FileSelection.SmallFiles(name, listing)).ConfigureAwait(false);
        Probe(store, small);
        await DownloadAsync(small).ConfigureAwait(false);
        var weights = await CompleteAsync(FileSelection.WeightFiles(name, listing, ReadIndex(name, small, store)))
            .ConfigureAwait(false);
        Look(name, small, store);
        Probe(store, weights);
        await DownloadAsync(weights).ConfigureAwait(false);
        HubFile[] all = [.. small, .. weights];
        return new PulledModel(
            name,
            site,
            store.Publish(all),
            all.Length,
            all.Sum(file => file.Size!.Value),
            counter.Received
        );

        async Task<IReadOnlyList<HubFile>> CompleteAsync(IReadOnlyList<HubFile> files)
        {
            List<HubFile> complete = [];
            foreach (var file in files)
            {
                complete.Add(await repository.CompleteAsync(name, listing, file, stop).ConfigureAwait(false));
            }

            counter.Expect(complete.Sum(file => file.Size!.Value));
            return complete;
        }

        Task DownloadAsync(IReadOnlyList<HubFile> files) =>
            Parallel.ForEachAsync(
                // Two files of the same content are one download.
                files.DistinctBy(file => file.Hash).OrderByDescending(file => file.Size),
                new ParallelOptions { MaxDegreeOfParallelism = Connections, CancellationToken = stop },
                async (file, either) =>
                    await new FileDownload(client, timing, name, file, store, counter, Noted)
                        .RunAsync(repository.AddressOf(name, listing, file), either)
                        .ConfigureAwait(false)
            );
    }

    private static ModelStore StoreFor(ModelCaches caches, ModelSite site, HubName name, HubListing listing) =>
        (site == ModelSite.HuggingFace ? caches.Hub.Folders : caches.ModelScope.Folders).Count == 0
            ? throw new InvalidDataException("There is no home folder to download to; set HF_HOME or MODELSCOPE_CACHE.")
        : site == ModelSite.HuggingFace ? new HubStore(caches.Hub.Folders[0], name, listing.Commit!)
        : new ModelScopeStore(caches.ModelScope, name);

    private static PulledModel? Cached(ModelCaches caches, ModelSite site, HubName name) =>
        (site == ModelSite.HuggingFace ? caches.Hub.Find(name) : caches.ModelScope.Find(name)) is { } folder
        && new CachedModel(site, name.Id, folder) is var model
            ? new PulledModel(name, site, folder, model.FileCount, model.Bytes, 0)
            : null;

    // Before the download, since a full disk is noticed late otherwise.
    private static void Probe(ModelStore store, IReadOnlyList<HubFile> files)
    {
        var missing = files.Sum(store.Missing);
        if (missing > 0)
        {
            if (WriteProbe.FindProblem(store.Root, missing) is { } problem)
            {
                throw new IOException(problem);
            }

            store.Prepare();
        }
    }

    private static IReadOnlyCollection<string>? ReadIndex(HubName name, IReadOnlyList<HubFile> small, ModelStore store)
    {
        if (small.FirstOrDefault(file => file.Name == FileSelection.Index) is not { } index)
        {
            return null;
        }

        var json = JsonFile.Parse(
            RegularFile.ReadBytes(store.Readable(index)),
            $"{name}/{index.Name}",
            JsonValueKind.Object
        );
        return json.TryGetProperty("weight_map", out var map) && map.ValueKind == JsonValueKind.Object
            ? [.. map.EnumerateObject().Select(entry => $"{entry.Value}").Distinct()]
            : throw new InvalidDataException($"{name}/{index.Name}: lacks the object 'weight_map'.");
    }

    private void Look(HubName name, IReadOnlyList<HubFile> small, ModelStore store)
    {
        var folder = Directory.CreateTempSubdirectory("glmtune-pull-").FullName;
        try
        {
            foreach (var file in small)
            {
                AtomicFile.Copy(store.Readable(file), Path.Combine(folder, file.Name));
            }

            Examine(folder);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException(error.Message.Replace(folder, $"{name}", StringComparison.Ordinal), error);
        }
        finally
        {
            Disk.DeleteFolder(folder);
        }
    }
}
