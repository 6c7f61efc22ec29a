using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;
using GlmTune.Data.Preprocessing;

namespace GlmTune.Data.Templates;

/// <summary>All training examples of one split, in the order of the file.</summary>
/// <remarks>They are bytes, in memory or in a file of the cache; each becomes an object when it is asked for.
/// Thread-safe.</remarks>
internal sealed class TrainingSet : ExampleList
{
    private readonly ExampleList examples;
    private string? fingerprint;

    private TrainingSet(SetReport report, ExampleList examples, string? fingerprint) =>
        (Report, this.examples, this.fingerprint) = (report, examples, fingerprint);

    /// <summary>What happened to the rows of the file.</summary>
    public SetReport Report { get; }

    /// <summary>Identifies the rows as used in training.</summary>
    public string Fingerprint => fingerprint ??= ExampleFingerprint.Of(examples);

    /// <summary>Whether the rows are in a file of the cache.</summary>
    public bool IsCached => examples is ExampleFile;

    /// <inheritdoc/>
    public override int Count => examples.Count;

    /// <inheritdoc/>
    public override TokenizedExample this[int index] => examples[index];

    /// <inheritdoc/>
    public override IReadOnlyList<int> Tokens => examples.Tokens;

    /// <inheritdoc/>
    public override int SupervisedTokensOf(int index) => examples.SupervisedTokensOf(index);

    /// <summary>Reads and tokenizes a data file, or finds its tokenized rows in a cache.</summary>
    /// <param name="path">The data file.</param>
    /// <param name="template">The template with its tokenizer.</param>
    /// <param name="options">Which rows are used.</param>
    /// <param name="cache">Where tokenized rows are kept; null: in memory.</param>
    /// <param name="stop">Cancels reading.</param>
    /// <remarks>A row without supervised tokens, because it has no answer or truncation removed it, counts as a row
    /// with a problem.</remarks>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is <see cref="BadRows.Error"/>, or no
    /// row is left.</exception>
    public static TrainingSet Read(
        string path,
        Glm4Template template,
        ExampleOptions? options = null,
        RowCache? cache = null,
        CancellationToken stop = default
    )
    {
        options ??= new ExampleOptions();
        if (
            cache?.Get(path, template, options, take => Tokenize(path, template, options, take, stop), stop) is { } kept
        )
        {
            return new TrainingSet(kept.Report, kept.Examples, kept.Fingerprint);
        }

        var examples = new MemoryExamples();
        return new TrainingSet(Tokenize(path, template, options, examples.Add, stop), examples, fingerprint: null);
    }

    private static SetReport Tokenize(
        string path,
        Glm4Template template,
        ExampleOptions options,
        Action<TokenizedExample> take,
        CancellationToken stop
    )
    {
        var (cut, lostTheirEnd) = (0, 0);
        var report = RowSource.Read<IReadOnlyList<TokenizedExample>>(
            path,
            options,
            conversation => Render(template, conversation),
            (line, sequences) =>
            {
                foreach (var example in sequences)
                {
                    cut += example.IsCut ? 1 : 0;
                    lostTheirEnd += example.LostItsEnd ? 1 : 0;
                    // Of a row with several sequences, truncation may leave nothing to learn in some.
                    if (example.SupervisedTokens > 0)
                    {
                        take(example with { Line = line });
                    }
                }
            },
            new RowAdvice(template),
            stop
        );
        return report with { Cut = cut, LostTheirEnd = lostTheirEnd };
    }

    private static (IReadOnlyList<TokenizedExample>?, RowProblem?) Render(
        Glm4Template template,
        Conversation conversation
    )
    {
        var examples = template.RenderTraining(conversation);
        return examples.Any(example => example.SupervisedTokens > 0)
            ? (examples, null)
            : (null, NothingLearnt(template, conversation, examples));
    }

    /// <summary>Why a row has no supervised tokens, and what to do.</summary>
    internal static RowProblem NothingLearnt(
        Glm4Template template,
        Conversation conversation,
        IReadOnlyList<TokenizedExample> examples
    )
    {
        if (template.CountAnswers(conversation) == 0 && !conversation.Messages.Any(message => message.Loss == true))
        {
            return new RowProblem(
                "no supervised tokens: the row has no assistant message with content that is not marked \"loss\": "
                    + "false."
            );
        }

        var limit = template.Options.MaxTrainingTokens;
        var length = examples.Min(example => example.FullLength);
        var why =
            $"no supervised tokens: truncation at {limit} (max_input_length + max_output_length + 1) removes "
            + "all of them";
        string Remedy(int tokens) =>
            $"Set max_input_length to {template.Options.MaxInputTokens + tokens - limit}, or shorten";
        return new RowProblem(
            $"{why}: the row has {length} tokens. {Remedy(length)} the row.",
            new ProblemGroup(
                why,
                length,
                longest => $"{why}; the longest row has {longest} tokens. {Remedy(longest)} the rows."
            )
        );
    }
}
