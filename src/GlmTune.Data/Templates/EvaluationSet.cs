using System.Collections;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>All answers of one split to generate and score, in the order of the file.</summary>
internal sealed class EvaluationSet : IReadOnlyList<EvaluationExample>
{
    private static readonly RowProblem NothingToEvaluate = new(
        "nothing to evaluate: the row has no assistant message with content that is not marked \"loss\": false."
    );

    private readonly List<EvaluationExample> examples;

    private EvaluationSet(SetReport report, List<EvaluationExample> examples) =>
        (Report, this.examples) = (report, examples);

    /// <summary>What happened to the rows of the file.</summary>
    public SetReport Report { get; }

    /// <inheritdoc/>
    public int Count => examples.Count;

    /// <inheritdoc/>
    public EvaluationExample this[int index] => examples[index];

    /// <summary>Reads and tokenizes a data file.</summary>
    /// <remarks>A row without an answer counts as a row with a problem; an answer whose prompt is too long is skipped
    /// and counted.</remarks>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is <see cref="BadRows.Error"/>, or no
    /// row is left.</exception>
    public static EvaluationSet Read(
        string path,
        Glm4Template template,
        ExampleOptions? options = null,
        CancellationToken stop = default
    )
    {
        var (examples, tooLong) = (new List<EvaluationExample>(), 0);
        var report = RowSource.Read<Answers>(
            path,
            options ?? new ExampleOptions(),
            conversation =>
            {
                var answers = template.CountAnswers(conversation);
                return answers > 0
                    ? (new Answers(answers, template.RenderEvaluation(conversation)), null)
                    : (null, NothingToEvaluate);
            },
            (line, answers) =>
            {
                examples.AddRange(answers.Examples.Select(example => example with { Line = line }));
                tooLong += answers.Count - answers.Examples.Count;
            },
            advice: null,
            stop
        );
        return new EvaluationSet(
            report with
            {
                Cut = examples.Count(example => example.IsCut),
                LostTheirEnd = examples.Count(example => example.IsCut),
                PromptTooLong = tooLong,
            },
            examples
        );
    }

    /// <summary>This rank's share: every example belongs to exactly one rank, and shares differ by at most one in
    /// size.</summary>
    public IEnumerable<EvaluationExample> Share(int rank, int worldSize) =>
        examples.Where((_, index) => index % worldSize == rank);

    /// <inheritdoc/>
    public IEnumerator<EvaluationExample> GetEnumerator() => examples.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private sealed record Answers(int Count, IReadOnlyList<EvaluationExample> Examples);
}
