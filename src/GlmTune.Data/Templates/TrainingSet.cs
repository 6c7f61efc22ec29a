using System.Collections;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>All training examples of one split, in the file's order.</summary>
public sealed class TrainingSet : IReadOnlyList<TokenizedExample>
{
    private readonly List<TokenizedExample> examples;

    private TrainingSet(SetReport report, List<TokenizedExample> examples) =>
        (Report, this.examples) = (report, examples);

    /// <summary>What became of the file's rows.</summary>
    public SetReport Report { get; }

    /// <inheritdoc/>
    public int Count => examples.Count;

    /// <inheritdoc/>
    public TokenizedExample this[int index] => examples[index];

    /// <summary>Reads and tokenizes a jsonl file.</summary>
    /// <remarks>A row without supervised tokens, because it has no answer or the cut took it, is a row with a
    /// problem.</remarks>
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
            stop
        );
        var examples = rows.Results.ConvertAll(result => result.Value with { Line = result.Line });
        return new TrainingSet(
            rows.Report with
            {
                Cut = examples.Count(example => example.IsCut),
                LostTheirEnd = examples.Count(example => example.LostItsEnd),
            },
            examples
        );
    }

    /// <inheritdoc/>
    public IEnumerator<TokenizedExample> GetEnumerator() => examples.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static TokenizedExample Render(Glm4Template template, Conversation conversation)
    {
        var example = template.RenderTraining(conversation);
        return example.SupervisedTokens > 0
            ? example
            : throw new InvalidDataException(NothingLearnt(template, conversation, example));
    }

    /// <summary>Why an example has no supervised token, and what to do.</summary>
    internal static string NothingLearnt(Glm4Template template, Conversation conversation, TokenizedExample example)
    {
        if (template.CountAnswers(conversation) == 0 && !conversation.Messages.Any(message => message.Loss == true))
        {
            return "no supervised tokens: no assistant message has content, or all are marked \"loss\": false.";
        }

        return $"no supervised tokens: the row has {example.FullLength} tokens, and truncation at "
            + $"{template.Options.MaxTrainingTokens} (max_input_length + max_output_length + 1) removes all "
            + "supervised ones. Raise the lengths or shorten the row.";
    }
}
