namespace GlmTune.Server;

/// <summary>All models that a server answers with; the first is meant where a request names none.</summary>
public sealed class ServedModels
{
    private readonly Dictionary<string, ServedModel> byId;

    /// <exception cref="ArgumentException">There is none, or two have one name.</exception>
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
                $"Two models are named '{twice.Key}', so requests could not tell them apart.",
                nameof(models)
            );
        }

        All = models;
        byId = models.ToDictionary(model => model.Id, StringComparer.Ordinal);
        Created = DateTimeOffset.UtcNow;
    }

    /// <summary>In the order in which they are listed.</summary>
    public IReadOnlyList<ServedModel> All { get; }

    /// <summary>When they were loaded.</summary>
    public DateTimeOffset Created { get; }

    /// <summary>Changes whenever the server restarts, possibly with other models.</summary>
    internal string Fingerprint { get; } = $"fp_{Guid.NewGuid():N}"[..13];

    /// <summary>Answers made side by side, at most.</summary>
    internal int Places =>
        All.Select(model => model.Chat).Distinct().Sum(chat => chat.Scheduler.Generator.Limits.Slots);

    /// <summary>The model of that id; the first where <paramref name="id"/> is null; null where there is
    /// none.</summary>
    public ServedModel? Find(string? id) => id is null ? All[0] : byId.GetValueOrDefault(id);

    /// <summary>The model of that id, or the first.</summary>
    /// <exception cref="ApiException">404: there is none of that id.</exception>
    internal ServedModel Named(string? id) =>
        Find(id)
        ?? throw new ApiException(
            StatusCodes.Status404NotFound,
            $"The model '{Shown.Of(id!)}' does not exist; available: "
                + $"{string.Join(", ", All.Select(model => model.Id))}.",
            "model",
            "model_not_found"
        );
}
