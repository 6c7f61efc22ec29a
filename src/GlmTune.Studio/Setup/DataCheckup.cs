using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Recipes;

namespace GlmTune.Studio.Setup;

/// <summary>What a check found in one file.</summary>
/// <param name="Split"><c>train</c>, <c>val</c> or <c>test</c>.</param>
/// <param name="File">Its name.</param>
/// <param name="Rows">Number of rows.</param>
/// <param name="UsableRows">Rows that training can use.</param>
/// <param name="Tokens">Their tokens, after truncation.</param>
/// <param name="SupervisedTokens">Those that the loss covers.</param>
/// <param name="CutRows">Rows that are truncated.</param>
/// <param name="MedianTokens">Median length of a row in tokens, before truncation.</param>
/// <param name="LongestTokens">Length of the longest row in tokens, before truncation.</param>
/// <param name="Errors">What keeps training from starting, one line each.</param>
/// <param name="Notes">What else was found, one line each.</param>
internal sealed record CheckedFile(
    string Split,
    string File,
    int Rows,
    int UsableRows,
    long Tokens,
    long SupervisedTokens,
    int CutRows,
    double MedianTokens,
    int LongestTokens,
    IReadOnlyList<string> Errors,
    IReadOnlyList<string> Notes
);

/// <summary>A stretch of a row.</summary>
/// <param name="Text">Its text; special tokens appear as theirs.</param>
/// <param name="Supervised">Whether the loss covers it.</param>
internal sealed record RowStretch(string Text, bool Supervised);

/// <summary>A row as training sees it.</summary>
/// <param name="Line">Its line in the file.</param>
/// <param name="Tokens">Number of tokens.</param>
/// <param name="Supervised">How many of them the loss covers.</param>
/// <param name="Stretches">Its text.</param>
internal sealed record ShownRow(int Line, int Tokens, int Supervised, IReadOnlyList<RowStretch> Stretches);

/// <summary>The result of checking the data of a recipe.</summary>
/// <param name="Files">The files that are there.</param>
/// <param name="Rows">The first training rows.</param>
/// <param name="Problems">What is missing, one line each.</param>
internal sealed record CheckedData(
    IReadOnlyList<CheckedFile> Files,
    IReadOnlyList<ShownRow> Rows,
    IReadOnlyList<string> Problems
);

/// <summary>Checks the data of a recipe with the checks of <c>glmtune data check</c>, and shows its first rows as
/// <c>glmtune data show</c> does.</summary>
internal static class DataCheckup
{
    private const int ShownRows = 5;
    private const int MaxCharacters = 4000;

    /// <summary>Checks every file that a recipe names.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="folder">The folder to which its file names are relative.</param>
    /// <param name="modelFolder">The model, of which only the tokenizer is read.</param>
    /// <param name="nameOf">How a file is shown.</param>
    /// <param name="stop">Cancels the check.</param>
    /// <exception cref="InvalidDataException">No file is there, or the tokenizer cannot be read.</exception>
    public static CheckedData Of(
        Recipe recipe,
        string folder,
        string modelFolder,
        Func<string, string> nameOf,
        CancellationToken stop
    )
    {
        var tokenizer = TokenizerFile.Read(modelFolder);
        var (reports, missing) = DataFolder.Check(recipe.Data, folder, tokenizer, stop);
        List<CheckedFile> files = [.. reports.Select(report => FileOf(recipe, report.Split, report.Report, nameOf))];
        var train = Path.Combine(folder, recipe.Data.TrainFile);
        return new CheckedData(
            files,
            File.Exists(train) ? FirstRows(train, new Glm4Template(tokenizer, recipe.Data.Template)) : [],
            missing
        );
    }

    private static CheckedFile FileOf(Recipe recipe, DataSplit split, SplitReport report, Func<string, string> nameOf)
    {
        var skips = recipe.Data.TrainRows.BadRows == BadRows.Skip;
        IReadOnlyList<string> Lines(bool errors) =>
            FoldedProblems.Lines(
                report
                    .Findings.Where(finding => (finding.IsError && !skips) == errors)
                    .Select(finding => finding.Problem)
            );
        return new CheckedFile(
            split.Name,
            nameOf(split.File),
            report.Rows,
            report.UsableRows,
            report.Tokens,
            report.SupervisedTokens,
            report.CutRows,
            report.Lengths.Median,
            report.Lengths.Longest,
            report.UsableRows == 0
                ? [.. Lines(true), $"{nameOf(split.File)}: has no row that can be used."]
                : Lines(true),
            [.. Lines(false), .. report.Notes]
        );
    }

    private static List<ShownRow> FirstRows(string file, Glm4Template template)
    {
        var rows = new List<ShownRow>();
        foreach (var row in ConversationFile.Rows(file).Take(ShownRows))
        {
            if (row.Conversation is not { } conversation)
            {
                continue; // it is among the errors
            }

            try
            {
                rows.AddRange(
                    template
                        .RenderTraining(conversation)
                        .Select(example => new ShownRow(
                            row.Line,
                            example.TokenIds.Length,
                            example.SupervisedTokens,
                            [.. Shortened(MarkedText.Stretches(example, template.Tokenizer))]
                        ))
                );
            }
            catch (InvalidDataException)
            {
                // It is among the errors, too.
            }
        }

        return rows;
    }

    private static IEnumerable<RowStretch> Shortened(IEnumerable<(string Text, bool IsSupervised)> stretches)
    {
        var left = MaxCharacters;
        foreach (var (text, isSupervised) in stretches)
        {
            if (left <= 0)
            {
                yield break;
            }

            yield return new RowStretch(text.Length <= left ? text : text[..left] + " …", isSupervised);
            left -= text.Length;
        }
    }
}
