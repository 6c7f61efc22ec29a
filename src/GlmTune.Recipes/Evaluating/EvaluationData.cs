using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;

namespace GlmTune.Recipes.Evaluating;

/// <summary>A data file prepared for evaluation.</summary>
/// <param name="File">The data file.</param>
/// <param name="Rows">Rows for the loss.</param>
/// <param name="Answers">Answers to generate; null if only the loss is computed.</param>
internal sealed record EvaluationData(string File, TrainingSet Rows, EvaluationSet? Answers)
{
    // Why these rows could not be kept in the cache; null: no earlier rows had this note, or there is none.
    private string? CacheNote { get; init; }

    /// <summary>Notes for the user: rows that were skipped, and answers that are left out or have a truncated
    /// reference.</summary>
    public IEnumerable<string> Notes
    {
        get
        {
            if (Rows.Report.SkippedNote(File) is { } skipped)
            {
                yield return skipped;
            }

            foreach (var note in Rows.Report.Notes)
            {
                yield return note;
            }

            if (CacheNote is { } kept)
            {
                yield return kept;
            }

            if (Rows.Report.Cut > 0)
            {
                yield return $"{File}: {Rows.Report.Cut} of {Rows.Report.Rows} rows were truncated; their loss covers "
                    + "only the beginning. Raise max_input_length or max_output_length.";
            }

            if (Answers?.Report is { PromptTooLong: > 0 and var tooLong })
            {
                yield return $"{File}: {tooLong} answers are not generated, because their prompts are too long. Raise "
                    + "max_input_length.";
            }

            if (Answers?.Report is { Cut: > 0 and var cut })
            {
                yield return $"{File}: {cut} of {Answers.Count} reference answers were truncated, so answers are "
                    + "compared with their beginnings. Raise max_output_length.";
            }
        }
    }

    /// <summary>Reads a file.</summary>
    /// <param name="file">The data file.</param>
    /// <param name="template">The chat template.</param>
    /// <param name="rows">Which rows to use, and what to do with invalid ones.</param>
    /// <param name="answers">Whether answers are generated, in addition to the loss.</param>
    /// <param name="cache">Where tokenized rows are kept; null: in memory.</param>
    /// <param name="stop">Cancels reading.</param>
    /// <exception cref="InvalidDataException">Rows have problems, or answers are requested and every prompt is too
    /// long.</exception>
    public static EvaluationData Read(
        string file,
        Glm4Template template,
        ExampleOptions rows,
        bool answers,
        RowCache? cache = null,
        CancellationToken stop = default
    )
    {
        var earlier = cache?.Note;
        var data = new EvaluationData(
            file,
            TrainingSet.Read(file, template, rows, cache, stop),
            answers ? EvaluationSet.Read(file, template, rows, stop) : null
        )
        {
            CacheNote = earlier is null ? cache?.Note : null,
        };
        return data.Answers is not { Count: 0 }
            ? data
            : throw new InvalidDataException(
                $"{file}: no answers to generate; every prompt has {template.Options.MaxInputTokens} tokens "
                    + "or more. Raise max_input_length."
            );
    }
}
