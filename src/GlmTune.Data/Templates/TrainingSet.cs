using System.Collections;
using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>All training examples of one split, in the order of the file.</summary>
internal sealed class TrainingSet : IReadOnlyList<TokenizedExample>
{
    private readonly List<TokenizedExample> examples;

    private TrainingSet(SetReport report, List<TokenizedExample> examples) =>
        (Report, this.examples) = (report, examples);

    /// <summary>What happened to the rows of the file.</summary>
    public SetReport Report { get; }

    /// <inheritdoc/>
    public int Count => examples.Count;

    /// <inheritdoc/>
    public TokenizedExample this[int index] => examples[index];

    /// <summary>Reads and tokenizes a data file.</summary>
    /// <remarks>A row without supervised tokens, because it has no answer or truncation removed it, counts as a row
    /// with a problem.</remarks>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is <see cref="BadRows.Error"/>, or no
    /// row is left.</exception>
    public static TrainingSet Read(
        string path,
        Glm4Template template,
        ExampleOptions? options = null,
        CancellationToken stop = default
    )
    {
        var rows = RowSource.Read(
            path,
            options ?? new ExampleOptions(),
            conversation => Render(template, conversation),
            new RowAdvice(template),
            stop
        );
        var rendered = rows
            .Results.SelectMany(result => result.Value.Select(example => example with { Line = result.Line }))
            .ToList();
        // Of a row with several sequences, those that truncation leaves nothing to learn in.
        var examples = rendered.FindAll(example => example.SupervisedTokens > 0);
        return new TrainingSet(
            rows.Report with
            {
                Cut = rendered.Count(example => example.IsCut),
                LostTheirEnd = rendered.Count(example => example.LostItsEnd),
            },
            examples
        );
    }

    /// <inheritdoc/>
    public IEnumerator<TokenizedExample> GetEnumerator() => examples.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

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
