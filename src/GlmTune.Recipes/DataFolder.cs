using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>One split of a data folder.</summary>
/// <param name="Name"><c>train</c>, <c>val</c> or <c>test</c>.</param>
/// <param name="File">Its jsonl file.</param>
public sealed record DataSplit(string Name, string File);

/// <summary>The files of a data folder that a recipe names, to look at before training.</summary>
public static class DataFolder
{
    /// <summary>The names that splits can have, in order.</summary>
    public static IReadOnlyList<string> SplitNames { get; } = ["train", "val", "test"];

    /// <summary>The splits that the recipe names, in order.</summary>
    /// <exception cref="InvalidDataException">The folder or files are missing; all of them are in the
    /// message.</exception>
    public static IReadOnlyList<DataSplit> Splits(DataOptions options, string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new InvalidDataException(
                $"{folder}: folder not found; expected the folder with the data files that the recipe names."
            );
        }

        string?[] files = [options.TrainFile, options.ValidationFile, options.TestFile];
        DataSplit[] splits =
        [
            .. SplitNames
                .Zip(files)
                .Where(split => split.Second is not null)
                .Select(split => new DataSplit(split.First, Path.Combine(folder, split.Second!))),
        ];
        var missing = splits
            .Where(split => !File.Exists(split.File))
            .Select(split => $"{split.File}: file not found; the recipe's data_config names it for '{split.Name}'.")
            .ToList();
        return missing.Count == 0 ? splits : throw new InvalidDataException(string.Join(Environment.NewLine, missing));
    }

    /// <summary>Checks every split as training would read it.</summary>
    /// <exception cref="InvalidDataException">Files are missing. What is wrong with rows is in the reports.</exception>
    public static IEnumerable<(DataSplit Split, SplitReport Report)> Check(
        DataOptions options,
        string folder,
        Tokenizer tokenizer,
        CancellationToken stop = default
    )
    {
        var check = new DataCheck(new Glm4Template(tokenizer, options.Template));
        return Splits(options, folder)
            .Select(split => (split, check.Check(split.File, options.TrainRows.Parallelism, stop)));
    }

    /// <summary>One row as training sees it; blank lines are no rows.</summary>
    /// <param name="split">The split.</param>
    /// <param name="row">Which row, from 1.</param>
    /// <param name="template">How it becomes tokens.</param>
    /// <exception cref="InvalidDataException">There is no such row, or it has problems.</exception>
    public static TokenizedExample ReadRow(DataSplit split, int row, Glm4Template template)
    {
        var count = 0;
        foreach (var found in ConversationFile.Rows(split.File))
        {
            if (++count == row)
            {
                return found.Conversation is { } conversation
                    ? template.RenderTraining(conversation) with
                    {
                        Line = found.Line,
                    }
                    : throw DataProblem.Exception([.. found.Problems]);
            }
        }

        throw new InvalidDataException($"{split.File}: no row {row}; it has {count} rows, numbered from 1.");
    }
}
