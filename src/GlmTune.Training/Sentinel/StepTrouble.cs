using System.Globalization;

namespace GlmTune.Training.Sentinel;

/// <summary>Where the numbers of a step stopped being finite.</summary>
/// <param name="Place">Name of the layer.</param>
/// <param name="InBackward">Whether it was in the backward pass.</param>
/// <param name="Examples">Indices of the rows, among those of this rank.</param>
internal sealed record TroubleOrigin(string Place, bool InBackward, IReadOnlyList<int> Examples)
{
    /// <summary>The layer and the pass, as part of a sentence.</summary>
    public string Where => $"{Place}, {(InBackward ? "backward" : "forward")} pass";
}

/// <summary>Why a step was rejected, as one rank sees it: number and value are the same on all ranks, rows and origin
/// are its own.</summary>
/// <param name="Report">The step.</param>
/// <param name="What">Which number: loss or gradient norm.</param>
/// <param name="Value">Its value.</param>
/// <param name="Median">Median of the steps before; null: the value is not finite.</param>
/// <param name="Last">The last accepted step; null if there was none.</param>
/// <param name="Changed">Whether layers were already updated.</param>
/// <param name="Examples">Indices of this rank's rows in the step.</param>
internal sealed record StepTrouble(
    StepReport Report,
    string What,
    double Value,
    double? Median,
    StepReport? Last,
    bool Changed,
    IReadOnlyList<int> Examples
)
{
    private const int MostLines = 32;

    /// <summary>Where it began on this rank; null: not on this rank, or not known.</summary>
    public TroubleOrigin? Origin { get; init; }

    /// <summary>The parameter with the largest gradient on this rank, or the first whose gradient is not finite; null:
    /// not known.</summary>
    public string? Largest { get; init; }

    /// <summary>Whether the value is finite, but far above the others.</summary>
    public bool IsSpike => Median is not null;

    /// <inheritdoc/>
    public override string ToString() =>
        Describe(
            Origin is null ? null : $"It began in {Origin.Where}.",
            $"lines {Lines(Examples.Select(example => example + 1))}"
        );

    /// <summary>The message.</summary>
    /// <param name="origin">Where it began, as a sentence; null: not known.</param>
    /// <param name="rows">The rows of the step.</param>
    public string Describe(string? origin, string rows)
    {
        List<string> sentences =
        [
            IsSpike
                ? string.Create(
                    CultureInfo.InvariantCulture,
                    $"Step {Report.Step}: the {What} is {Value:G5}, {Value / Median:F1} times the median of the steps "
                        + $"before ({Median:G5})."
                )
                : string.Create(CultureInfo.InvariantCulture, $"Step {Report.Step}: the {What} is {Value}."),
            Changed ? "Some layers were already updated, so nothing is saved." : "No weight was changed.",
        ];
        if (origin is not null)
        {
            sentences.Add(origin);
        }
        else if (Largest is not null)
        {
            sentences.Add(
                IsSpike ? $"The largest gradient is that of {Largest}." : $"It is the gradient of {Largest}."
            );
        }

        sentences.Add($"Rows in the step: {rows}.");
        sentences.Add(
            Last is null
                ? "There was no step before it."
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"Last accepted step: {Last.Step}, loss {Last.Loss:F4}, gradient norm {Last.GradientNorm:F4}."
                )
        );
        return string.Join(' ', sentences);
    }

    /// <summary>A list of lines of a file, shortened if it is long.</summary>
    public static string Lines(IEnumerable<int> lines)
    {
        var all = lines.ToList();
        return string.Join(", ", all.Take(MostLines)) + (all.Count > MostLines ? ", …" : "");
    }
}
