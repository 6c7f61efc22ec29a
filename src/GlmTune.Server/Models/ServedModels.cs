namespace GlmTune.Server;

/// <summary>All models of a server; requests that name none use the first. Adapters may come and go.
/// Thread-safe.</summary>
internal sealed class ServedModels
{
    private readonly Lock gate = new();
    private volatile IReadOnlyList<ServedModel> all;

    /// <exception cref="ArgumentException">There is no model, or two have the same name.</exception>
    public ServedModels(params IReadOnlyList<ServedModel> models)
    {
        if (models.Count == 0)
        {
            throw new ArgumentException("A server needs a model.", nameof(models));
        }

        if (
            models.GroupBy(model => model.Id, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is
            { } twice
        )
        {
            throw new ArgumentException(
                $"Two models are named '{twice.Key}', so requests could not tell them apart; choose other names.",
                nameof(models)
            );
        }

        all = [.. models];
        Created = DateTimeOffset.UtcNow;
    }

    /// <summary>The models in listing order.</summary>
    public IReadOnlyList<ServedModel> All => all;

    /// <summary>When the models were loaded.</summary>
    public DateTimeOffset Created { get; }

    /// <summary>Changes with every start of the server, which may have other models.</summary>
    internal string Fingerprint { get; } = $"fp_{Guid.NewGuid():N}"[..13];

    /// <summary>Maximum number of answers generated concurrently.</summary>
    internal int Slots => All.Select(model => model.Chat).Distinct().Sum(chat => chat.Scheduler.Generator.Limits.Slots);

    /// <summary>The model with a given id; the first if <paramref name="id"/> is null; null if there is no such
    /// model.</summary>
    public ServedModel? Find(string? id) => id is null ? all[0] : all.FirstOrDefault(model => model.Id == id);

    /// <summary>Adds a model; false: another has its name.</summary>
    public bool TryAdd(ServedModel model)
    {
        lock (gate)
        {
            if (Find(model.Id) is not null)
            {
                return false;
            }

            all = [.. all, model];
            return true;
        }
    }

    /// <summary>Removes a model, so that no further request finds it; false: it was removed before.</summary>
    public bool TryRemove(ServedModel model)
    {
        lock (gate)
        {
            var before = all.Count;
            all = [.. all.Where(other => other != model)];
            return all.Count < before;
        }
    }

    /// <summary>Counts a request as one of a model until its response is complete.</summary>
    /// <exception cref="ApiException">404: the model has been removed.</exception>
    internal void Use(HttpContext context, ServedModel model) =>
        context.Response.RegisterForDispose(model.Requests.TryEnter() ?? throw NotFound(model.Id));

    /// <summary>The model with a given id, or the first.</summary>
    /// <exception cref="ApiException">404: there is no such model.</exception>
    internal ServedModel Named(string? id) => Find(id) ?? throw NotFound(id!);

    private ApiException NotFound(string id) =>
        new(
            StatusCodes.Status404NotFound,
            $"The model '{Printable.Of(id)}' does not exist; available: "
                + $"{string.Join(", ", All.Select(model => model.Id))}.",
            "model",
            "model_not_found"
        );
}
