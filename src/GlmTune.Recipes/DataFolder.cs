using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>One split of a data folder.</summary>
/// <param name="Name"><c>train</c>, <c>val</c> or <c>test</c>.</param>
/// <param name="File">Path of its data file.</param>
internal sealed record DataSplit(string Name, string File);

/// <summary>The data files named by a recipe, for inspection before training.</summary>
internal static class DataFolder
{
    /// <summary>The possible names of splits, in order.</summary>
    public static IReadOnlyList<string> SplitNames { get; } = ["train", "val", "test"];

    /// <summary>The splits named by the recipe, in order.</summary>
    /// <exception cref="InvalidDataException">The folder or files are missing; the message lists them all.</exception>
    public static IReadOnlyList<DataSplit> Splits(DataOptions options, string folder)
    {
        var splits = Named(options, folder);
        return FindMissing(splits, folder) is { Count: > 0 } missing
            ? throw new InvalidDataException(string.Join(Environment.NewLine, missing))
            : splits;
    }

    /// <summary>What is missing: the folder, or files that the recipe names; one line each.</summary>
    public static IReadOnlyList<string> FindMissing(DataOptions options, string folder) =>
        FindMissing(Named(options, folder), folder);

    /// <summary>Checks every split the way training reads it. If a file is missing, the others are still
    /// checked.</summary>
    /// <returns>Reports for the files that exist, in order, and what is missing.</returns>
    /// <exception cref="InvalidDataException">The folder is missing, or every file is. Problems of rows are in the
    /// reports.</exception>
    public static (IEnumerable<(DataSplit Split, SplitReport Report)> Reports, IReadOnlyList<string> Missing) Check(
        DataOptions options,
        string folder,
        Tokenizer tokenizer,
        CancellationToken stop = default
    )
    {
        var splits = Named(options, folder);
        var missing = FindMissing(splits, folder);
        List<DataSplit> present = [.. splits.Where(split => File.Exists(split.File))];
        if (present.Count == 0)
        {
            throw new InvalidDataException(string.Join(Environment.NewLine, missing));
        }

        var check = new DataCheck(new Glm4Template(tokenizer, options.Template));
        return (present.Select(split => (split, check.Check(split.File, options.TrainRows.Threads, stop))), missing);
    }

    /// <summary>Problems of the folder and its files, as far as they can be found without a tokenizer and length
    /// limits.</summary>
    public static IEnumerable<string> FindProblems(DataOptions options, string folder)
    {
        var splits = Named(options, folder);
        return FindMissing(splits, folder)
            .Concat(splits.Where(split => File.Exists(split.File)).Select(FindProblem).OfType<string>());
    }

    private static string? FindProblem(DataSplit split)
    {
        List<DataProblem> problems = [.. ConversationFile.Rows(split.File).SelectMany(row => row.Problems)];
        return problems.Count == 0 ? null : DataProblem.Exception(problems).Message;
    }

    private static List<DataSplit> Named(DataOptions options, string folder)
    {
        folder = HomePath.Expand(folder);
        string?[] files = [options.TrainFile, options.ValidationFile, options.TestFile];
        return
        [
            .. SplitNames
                .Zip(files)
                // Without a name, the recipe is wrong, not the folder.
                .Where(split => !string.IsNullOrEmpty(split.Second))
                .Select(split => new DataSplit(split.First, Path.Combine(folder, split.Second!))),
        ];
    }

    private static List<string> FindMissing(List<DataSplit> splits, string folder) =>
        !Directory.Exists(folder)
            ? [NearbyNames.MissingFolder(folder, "the folder with the data files that the recipe names")]
            :
            [
                .. splits
                    .Where(split => !File.Exists(split.File))
                    .Select(split =>
                        NearbyNames.MissingFile(
                            split.File,
                            $"the recipe's data_config.{split.Name}_file names it",
                            "*.json*"
                        )
                    ),
            ];

    /// <summary>The sequences of one row as training sees them; blank lines do not count.</summary>
    /// <param name="split">The split.</param>
    /// <param name="row">Number of the row, from 1.</param>
    /// <param name="template">The chat template.</param>
    /// <exception cref="InvalidDataException">The row does not exist, or it has problems.</exception>
    public static IReadOnlyList<TokenizedExample> ReadRow(DataSplit split, int row, Glm4Template template)
    {
        var count = 0;
        foreach (var found in ConversationFile.Rows(split.File))
        {
            if (++count == row)
            {
                return found.Conversation is { } conversation
                    ? [.. template.RenderTraining(conversation).Select(example => example with { Line = found.Line })]
                    : throw DataProblem.Exception([.. found.Problems]);
            }
        }

        throw new InvalidDataException($"{split.File}: no row {row}; it has {count} rows, numbered from 1.");
    }
}
