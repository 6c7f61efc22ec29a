namespace GlmTune.Server;

/// <summary>All models of a server; requests that name none use the first.</summary>
internal sealed class ServedModels
{
    private readonly Dictionary<string, ServedModel> byId;

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

        All = models;
        byId = models.ToDictionary(model => model.Id, StringComparer.Ordinal);
        Created = DateTimeOffset.UtcNow;
    }

    /// <summary>The models in listing order.</summary>
    public IReadOnlyList<ServedModel> All { get; }

    /// <summary>When the models were loaded.</summary>
    public DateTimeOffset Created { get; }

    /// <summary>Changes with every start of the server, which may have other models.</summary>
    internal string Fingerprint { get; } = $"fp_{Guid.NewGuid():N}"[..13];

    /// <summary>Maximum number of answers generated concurrently.</summary>
    internal int Slots => All.Select(model => model.Chat).Distinct().Sum(chat => chat.Scheduler.Generator.Limits.Slots);

    /// <summary>The model with a given id; the first if <paramref name="id"/> is null; null if there is no such
    /// model.</summary>
    public ServedModel? Find(string? id) => id is null ? All[0] : byId.GetValueOrDefault(id);

    /// <summary>The model with a given id, or the first.</summary>
    /// <exception cref="ApiException">404: there is no such model.</exception>
    internal ServedModel Named(string? id) =>
        Find(id)
        ?? throw new ApiException(
            StatusCodes.Status404NotFound,
            $"The model '{Printable.Of(id!)}' does not exist; available: "
                + $"{string.Join(", ", All.Select(model => model.Id))}.",
            "model",
            "model_not_found"
        );
}
