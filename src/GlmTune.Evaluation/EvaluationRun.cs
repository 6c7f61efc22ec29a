using System.Diagnostics;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation.Metrics;
using GlmTune.Inference;
using GlmTune.Model;

namespace GlmTune.Evaluation;

/// <summary>One data split, prepared for evaluating models: the loss of its rows, and scores of generated answers
/// against references.</summary>
/// <param name="tokenizer">The model's tokenizer.</param>
/// <param name="rows">Rows whose loss is computed; at least one.</param>
/// <param name="answers">Answers to generate; may be empty.</param>
/// <remarks>Can run any number of times. Thread-safe.</remarks>
internal sealed class EvaluationRun(
    Tokenizer tokenizer,
    IReadOnlyList<TokenizedExample> rows,
    IReadOnlyList<EvaluationExample> answers
)
{
    /// <summary>How answers are generated. If it has no stop token ids, the model's stop tokens and the tokenizer's
    /// end-of-turn tokens are used.</summary>
    public GenerationOptions Generation { get; init; } = GenerationOptions.Defaults;

    /// <summary>Number of rows or answers processed at once. Default: 8.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>Evaluates a model on every row and every answer exactly once.</summary>
    /// <param name="model">Remains owned by the caller; nobody else may use it meanwhile.</param>
    /// <param name="progress">Called with the progress, on the calling thread.</param>
    /// <param name="cancellation">Checked between forward passes.</param>
    /// <exception cref="InvalidDataException">Tokenizer and model do not match, or prompts leave no room for an
    /// answer.</exception>
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

    /// <summary>Checks, without a model, that every prompt leaves room for an answer, as <see cref="Run"/>
    /// does.</summary>
    /// <param name="maxPositions">The model's maximum sequence length, in tokens.</param>
    /// <exception cref="InvalidDataException">Some prompts leave no room; the message lists them.</exception>
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

        // Thoughts are not part of the answer that is scored.
        var written = answers
            .Zip(
                generated,
                (example, answer) =>
                    example.Thinks
                        ? Thoughts.Generated(tokenizer.Decode(answer.Tokens))
                        : new Thoughts("", tokenizer.Decode(answer.Tokens))
            )
            .ToList();
        var pairs = answers
            .Zip(
                written,
                (example, answer) => (Prediction: PythonText.Trim(answer.Answer), Label: Text(example.TargetIds))
            )
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
                    {
                        Reasoning = written[i].Reasoning,
                    }
            ),
        ];
    }

    private string Text(int[] ids) => PythonText.Trim(tokenizer.Decode(ids));
}
