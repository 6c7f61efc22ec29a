using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.Recipes.Training;

/// <summary>The training rows of a run, tokenized.</summary>
/// <param name="Template">The chat template, with the model's tokenizer.</param>
/// <param name="Examples">The training rows.</param>
/// <param name="Notes">Notes about the rows, for the user.</param>
internal sealed record RunData(Glm4Template Template, TrainingSet Examples, IReadOnlyList<string> Notes)
{
    /// <summary>The model's tokenizer.</summary>
    public Tokenizer Tokenizer => Template.Tokenizer;

    /// <summary>Length of the longest row, in tokens.</summary>
    public int Longest => Examples.Tokens.Max();

    /// <summary>Fingerprint of the rows as used in training: their number, and a hash of their tokens and supervised
    /// ranges, in order.</summary>
    public string Fingerprint => Examples.Fingerprint;

    /// <summary>Reads the training rows.</summary>
    /// <exception cref="InvalidDataException">The rows are missing or damaged.</exception>
    public static RunData Read(
        Recipe recipe,
        Glm4Template template,
        string dataFolder,
        string modelFolder,
        CancellationToken stop
    )
    {
        var path = Path.Combine(dataFolder, recipe.Data.TrainFile);
        var cache = recipe.Data.RowCache ? RowCache.OfUser : null;
        var set = TrainingSet.Read(path, template, recipe.Data.TrainRows, cache, stop);
        return new RunData(
            template,
            set,
            [
                .. template.Note is { } note ? [$"{modelFolder}: {note}"] : Array.Empty<string>(),
                .. !template.Options.SupervisesThoughts && !template.Thinks
                    ? ["'data_config.supervise_reasoning' has no effect: this model does not think before it answers."]
                    : Array.Empty<string>(),
                .. NotesOf(path, set, template),
                .. cache?.Note is { } kept ? [kept] : Array.Empty<string>(),
            ]
        );
    }

    /// <summary>Tokens that initialize a new prefix: the recipe's text, or the first training prompts, that is, what
    /// precedes the first answer of each row.</summary>
    public int[] PrefixText(Recipe recipe) =>
        recipe.Prefix?.InitializationText is { Length: > 0 } text
            ? Tokenizer.Encode(text)
            :
            [
                .. Examples
                    .SelectMany(example => example.TokenIds.Take(example.Supervised[0].Start))
                    .Take(recipe.Prefix?.VirtualTokens ?? 0),
            ];

    private static IEnumerable<string> NotesOf(string path, TrainingSet set, Glm4Template template)
    {
        if (set.Report.SkippedNote(path) is { } skipped)
        {
            yield return skipped;
        }

        foreach (var note in set.Report.Notes)
        {
            yield return note;
        }

        if (set.Report.Cut > 0)
        {
            yield return $"{path}: {set.Report.Cut} of {set.Report.Rows} rows were truncated to "
                + $"{template.Options.MaxTrainingTokens} tokens"
                + (
                    set.Report.LostTheirEnd > 0
                        ? $", and {set.Report.LostTheirEnd} lost the end token, which teaches the model when "
                            + "to stop: raise max_input_length or max_output_length."
                        : "."
                );
        }
    }
}
