using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>One split of a data folder.</summary>
/// <param name="Name"><c>train</c>, <c>val</c> or <c>test</c>.</param>
/// <param name="File">Its data file.</param>
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
        var splits = Named(options, folder);
        return FindMissing(splits, folder) is { Count: > 0 } missing
            ? throw new InvalidDataException(string.Join(Environment.NewLine, missing))
            : splits;
    }

    /// <summary>What is missing of the folder and of the files that the recipe names; a line each.</summary>
    public static IReadOnlyList<string> FindMissing(DataOptions options, string folder) =>
        FindMissing(Named(options, folder), folder);

    /// <summary>Checks every split as training would read it. Where a file is missing, the others are checked all the
    /// same.</summary>
    /// <returns>What was found in the files that are there, in order, and what is missing.</returns>
    /// <exception cref="InvalidDataException">The folder is missing, or every file is. What is wrong with rows is in
    /// the reports.</exception>
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
        return (
            present.Select(split => (split, check.Check(split.File, options.TrainRows.Parallelism, stop))),
            missing
        );
    }

    /// <summary>What is wrong with the folder and its files as far as it shows without a tokenizer and without
    /// lengths.</summary>
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
                .Where(split => split.Second is not null)
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

    /// <summary>One row as training sees it; blank lines are no rows.</summary>
    /// <param name="split">The split.</param>
    /// <param name="row">Which row, from 1.</param>
    /// <param name="template">How it becomes tokens.</param>
    /// <exception cref="InvalidDataException">The row does not exist, or it has problems.</exception>
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
