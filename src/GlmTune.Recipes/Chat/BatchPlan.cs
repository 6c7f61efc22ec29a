using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>The conversations of a file that are to be answered, and the output with the answers that an earlier run
/// left. Everything about them is checked before a model is loaded.</summary>
internal sealed class BatchPlan
{
    private BatchPlan(
        string output,
        bool overwrite,
        GenerationOptions options,
        IReadOnlyList<ConversationRow> rows,
        IReadOnlyList<AnswerDigest> digests
    ) => (Output, Overwrite, Options, Rows, Digests) = (output, overwrite, options, rows, digests);

    /// <summary>The file that answers are written to.</summary>
    public string Output { get; }

    /// <summary>How answers are generated, as the caller said it.</summary>
    public GenerationOptions Options { get; }

    /// <summary>Rows of the input.</summary>
    public int Count => Rows.Count;

    internal bool Overwrite { get; }

    internal IReadOnlyList<ConversationRow> Rows { get; }

    internal IReadOnlyList<AnswerDigest> Digests { get; }

    /// <summary>Reads input and output, and adds what is wrong with them to a report.</summary>
    /// <param name="files">The model; null where something is wrong with it, which leaves its settings
    /// unchecked.</param>
    /// <param name="input">Conversations, as data files have them; an answer at the end of a row is what is expected,
    /// not part of the prompt.</param>
    /// <param name="output">The JSON Lines file that answers are written to.</param>
    /// <param name="options">How; with a seed, a row's place decides with it what is drawn, in one run or in
    /// several.</param>
    /// <param name="overwrite">Whether an output that is there is replaced, not continued.</param>
    /// <param name="report">Gets all problems: of rows, of settings, of an output that cannot be written or holds the
    /// answers of another job.</param>
    /// <returns>The plan; null where there are problems.</returns>
    public static BatchPlan? Read(
        TunedChatFiles? files,
        string input,
        string output,
        GenerationOptions options,
        bool overwrite,
        ProblemReport report
    )
    {
        var rows = report.Try(() => ReadRows(input));
        var target = WriteProbe.FindProblemOfFile(output, inPlace: true);
        report.Add(target is null ? [] : [target]);
        if (target is null && IsSame(input, output))
        {
            report.Add([$"{output}: is the input as well; name another output."]);
            return null;
        }

        if (files is null || rows is null || target is not null)
        {
            return null;
        }

        return report.Try(() =>
        {
            var settings = Settings(files, options);
            var template = files.Template.Options.Preset.Name;
            var identity = files.Identity;
            AnswerDigest[] digests =
            [
                .. rows.Select(row => AnswerDigest.Of(identity, template, settings, BatchOutput.Question(row))),
            ];
            if (!overwrite && File.Exists(output))
            {
                using var file = RegularFile.OpenStream(output);
                BatchOutput.FindEnd(file, output, rows, digests);
            }

            return new BatchPlan(output, overwrite, options, rows, digests);
        });
    }

    private static List<ConversationRow> ReadRows(string input)
    {
        var rows = ConversationFile.Rows(input).ToList();
        return rows.SelectMany(row => row.Problems).ToList() is { Count: > 0 } problems
            ? throw DataProblem.Exception(problems)
            : rows;
    }

    // The settings as they hold, which every row has.
    private static GenerationOptions Settings(TunedChatFiles files, GenerationOptions options)
    {
        var settings = options.Over(files.Defaults).Over(GenerationOptions.Defaults);
        try
        {
            settings.Check();
            return settings;
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException(error.Message, error);
        }
    }

    private static bool IsSame(string input, string output) =>
        File.Exists(output) && Path.GetFullPath(input) == Path.GetFullPath(output);
}
