using System.Diagnostics;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation.Metrics;
using GlmTune.Inference;
using GlmTune.Model;

namespace GlmTune.Evaluation;

/// <summary>One split, ready to evaluate models on: the loss of its rows, and answers to its prompts scored against
/// references.</summary>
/// <param name="tokenizer">The model's.</param>
/// <param name="rows">Rows whose loss is computed; at least one.</param>
/// <param name="answers">Answers to generate; may be empty.</param>
/// <remarks>May be run any number of times; thread-safe.</remarks>
public sealed class EvaluationRun(
    Tokenizer tokenizer,
    IReadOnlyList<TokenizedExample> rows,
    IReadOnlyList<EvaluationExample> answers
)
{
    /// <summary>How answers are generated. Without token ids that end them, the model's and those of the tokenizer that
    /// end a turn do.</summary>
    public GenerationOptions Generation { get; init; } = GenerationOptions.Defaults;

    /// <summary>Rows fed forward, and answers made, at once. Default 8.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>Evaluates a model: every row and every answer exactly once.</summary>
    /// <param name="model">Stays the caller's; nobody else may use it meanwhile.</param>
    /// <param name="progress">Gets how far it is, on the calling thread.</param>
    /// <param name="cancellation">Ends it between two passes.</param>
    /// <exception cref="InvalidDataException">Tokenizer and model don't belong together, or prompts leave no room for
    /// an answer.</exception>
    public EvaluationReport Run(
        ICausalLm model,
        Action<EvaluationProgress>? progress = null,
        CancellationToken cancellation = default
    )
    {
        if (tokenizer.Count > model.Config.VocabularySize)
        {
            throw new InvalidDataException(
                $"The tokenizer has {tokenizer.Count} tokens, but the model's vocabulary has "
                    + $"{model.Config.VocabularySize}. Are both from the same model?"
            );
        }

        var clock = Stopwatch.StartNew();
        var loss = Perplexity.Of(
            model,
            rows,
            BatchSize,
            done => progress?.Invoke(new(EvaluationPart.Loss, done, rows.Count)),
            cancellation
        );
        return new EvaluationReport
        {
            Rows = rows.Count,
            Loss = loss,
            Answers =
                answers.Count == 0
                    ? []
                    : Answer(
                        model,
                        done => progress?.Invoke(new(EvaluationPart.Answers, done, answers.Count)),
                        cancellation
                    ),
            Elapsed = clock.Elapsed,
        };
    }

    /// <summary>Finds prompts that leave no room for an answer, as <see cref="Run"/> does, without a model.</summary>
    /// <param name="maxPositions">The model's.</param>
    /// <exception cref="InvalidDataException">There are some.</exception>
    public void CheckRoom(int maxPositions)
    {
        var longest = Math.Min(maxPositions, Generation.MaxLength ?? int.MaxValue);
        var problems = answers
            .Where(example => example.PromptIds.Length >= longest)
            .Select(example =>
                $"line {example.Line}, messages[{example.MessageIndex}]: the prompt has {example.PromptIds.Length} "
                + "tokens"
            )
            .Take(20)
            .ToList();
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                string.Join('\n', problems)
                    + $"\nPrompt and answer together are limited to {longest} tokens (by the model, or by "
                    + "generation_config's max_length), which leaves no room for an answer. Lower "
                    + "max_input_length."
            );
        }
    }

    private EvaluatedAnswer[] Answer(ICausalLm model, Action<int> onAnswers, CancellationToken cancellation)
    {
        var options = Generation with
        {
            EosTokenIds = Generation.EosTokenIds ?? [.. model.Config.EndTokenIds.Union(tokenizer.Special.Stops)],
        };
        CheckRoom(model.Config.MaxPositions);
        var generator = new Generator(model, tokenizer.Count, options, new GenerationLimits { Slots = BatchSize });
        var generated = new GeneratedAnswer[answers.Count];
        var done = 0;
        foreach (
            var answer in generator.AsFinished(
                answers.Select(example => new GenerationRequest(example.PromptIds)),
                cancellation: cancellation
            )
        )
        {
            generated[answer.Index] = answer;
            onAnswers(++done);
        }

        var pairs = answers
            .Zip(generated, (example, answer) => (Prediction: Text(answer.Tokens), Label: Text(example.TargetIds)))
            .ToList();
        var scores = GenerationScores.OfEach(pairs);
        return
        [
            .. answers.Select(
                (example, i) =>
                    new EvaluatedAnswer(
                        example,
                        tokenizer.Decode(example.PromptIds, skipSpecial: false),
                        pairs[i].Prediction,
                        pairs[i].Label,
                        generated[i].Finish,
                        scores[i]
                    )
            ),
        ];
    }

    private string Text(int[] ids) => PythonText.Trim(tokenizer.Decode(ids));
}
