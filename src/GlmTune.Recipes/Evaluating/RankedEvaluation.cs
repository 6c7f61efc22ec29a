using System.Diagnostics;
using System.Text.Json;
using GlmTune.Collectives;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation;
using GlmTune.Evaluation.Metrics;
using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>An evaluation distributed over the ranks: each row and answer is processed by one rank, and the combined
/// result is gathered on all.</summary>
/// <remarks>Greedy answers equal those of a single rank up to rounding; sampled answers depend on the number of
/// ranks.</remarks>
internal sealed class RankedEvaluation
{
    private readonly RunRanks ranks;
    private readonly EvaluationRun mine;
    private readonly EvaluationExample[] answers;

    /// <summary>Takes this rank's share of the data.</summary>
    /// <param name="recipe">The recipe, which determines how answers are generated.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="data">All of the data; the same on each rank.</param>
    /// <param name="modelGeneration">The base model's generation_config.json, of which only the token ids are used;
    /// null if there is none.</param>
    /// <param name="ranks">The ranks.</param>
    public RankedEvaluation(
        Recipe recipe,
        Tokenizer tokenizer,
        EvaluationData data,
        GenerationOptions? modelGeneration,
        RunRanks ranks
    )
    {
        (this.ranks, Data) = (ranks, data);
        answers = [.. data.Answers ?? (IEnumerable<EvaluationExample>)[]];
        var generation = recipe
            .Generation.Over(modelGeneration?.TokensOnly() ?? new())
            .Over(GenerationOptions.Defaults);
        // Sampling without a seed uses the run's seed, so that an evaluation can be repeated; each rank draws different
        // numbers.
        var seed = (generation.Seed ?? recipe.Training.Seed) + (ranks.Rank * 1_000_003L);
        mine = new EvaluationRun(tokenizer, ranks.ShareOf(data.Rows), ranks.ShareOf(answers))
        {
            Generation = generation with { Seed = seed },
            BatchSize = recipe.Training.EvaluationBatchSize,
        };
    }

    /// <summary>All rows and answers, with notes about them.</summary>
    public EvaluationData Data { get; }

    /// <inheritdoc cref="EvaluationRun.CheckRoom"/>
    public void CheckRoom(int maxPositions) => mine.CheckRoom(maxPositions);

    /// <summary>Runs the evaluation.</summary>
    /// <param name="model">The current model; not modified.</param>
    /// <param name="gathers">Whether each pass gathers weights over all ranks, so that all ranks must run equally
    /// many.</param>
    /// <param name="progress">Called with this rank's progress.</param>
    /// <param name="write">Called with the result on rank 0 before any rank returns; if it fails, all ranks
    /// fail.</param>
    /// <param name="stop">If set on any rank, the evaluation stops on all.</param>
    /// <exception cref="InvalidDataException">Tokenizer and model do not match, or prompts leave no room for an
    /// answer.</exception>
    /// <exception cref="OperationCanceledException">A rank was asked to stop; thrown on all ranks. Nothing is
    /// written.</exception>
    public EvaluationReport Run(
        ICausalLm model,
        bool gathers = false,
        Action<EvaluationProgress>? progress = null,
        Action<EvaluationReport>? write = null,
        CancellationToken stop = default
    )
    {
        var report = ranks.IsAlone ? mine.Run(model, progress, stop) : RunShared(model, gathers, progress, stop);
        ranks.RunOnAllOrFail(() =>
        {
            if (ranks.IsFirst)
            {
                write?.Invoke(report);
            }
        });
        return report;
    }

    private EvaluationReport RunShared(
        ICausalLm model,
        bool gathers,
        Action<EvaluationProgress>? progress,
        CancellationToken stop
    )
    {
        var clock = Stopwatch.StartNew();
        var part = gathers ? RunInTurns(model, progress, stop) : RunApart(model, progress, stop);
        var answered = GatherAnswers(part.Answers);
        // Decisions based on it (metric_for_best_model) must agree on all ranks, so no rank's own clock may count.
        var all = ranks.Collectives.GatherDoubles([
            part.Rows,
            part.Loss.Sum,
            part.Loss.Tokens,
            clock.Elapsed.TotalSeconds,
        ]);
        return new EvaluationReport
        {
            Rows = (int)all.Sum(of => of[0]),
            Loss = all.Aggregate(new LossTotal(), (total, of) => total + new LossTotal(of[1], (long)of[2])),
            Answers = answered,
            Elapsed = TimeSpan.FromSeconds(all.Max(of => of[3])),
        };
    }

    private EvaluationReport RunInTurns(ICausalLm model, Action<EvaluationProgress>? progress, CancellationToken stop)
    {
        var turns = new TurnTakingModel(model, ranks, stop);
        EvaluationReport? report = null;
        InvalidDataException? failure = null;
        try
        {
            report = mine.Run(turns, progress, CancellationToken.None);
        }
        catch (InvalidDataException error)
        {
            // The other ranks still need this one in their passes; afterwards all fail.
            failure = error;
        }

        turns.Finish();
        return ranks.RunOnAllOrFail(() => failure is null ? report! : throw failure);
    }

    private EvaluationReport RunApart(ICausalLm model, Action<EvaluationProgress>? progress, CancellationToken stop)
    {
        var agreement = new StopAgreement(ranks, stop);
        EvaluationReport? report = null;
        InvalidDataException? failure = null;
        try
        {
            report = mine.Run(new StoppableModel(model, agreement), progress, CancellationToken.None);
        }
        catch (InvalidDataException error)
        {
            failure = error;
        }
        catch (OperationCanceledException)
        {
            // All ranks stop, and find out the reason below.
        }

        var ended = agreement.Finish(failed: failure is not null);
        ranks.RunOnAllOrFail(() => failure is null ? true : throw failure);
        return ended ? throw new OperationCanceledException(stop) : report!;
    }

    private EvaluatedAnswer[] GatherAnswers(IReadOnlyList<EvaluatedAnswer> part)
    {
        if (answers.Length == 0)
        {
            return [];
        }

        var texts = ranks.Collectives.GatherStrings([
            .. part.Select(answer =>
                JsonSerializer.Serialize(
                    new Wire(
                        answer.Prompt,
                        answer.Prediction,
                        answer.Label,
                        answer.Finish,
                        answer.Scores,
                        answer.Reasoning
                    )
                )
            ),
        ]);
        return
        [
            .. answers.Select(
                (example, i) =>
                {
                    var wire = JsonSerializer.Deserialize<Wire>(texts[i % ranks.Count][i / ranks.Count])!;
                    return new EvaluatedAnswer(
                        example,
                        wire.Prompt,
                        wire.Prediction,
                        wire.Label,
                        wire.Finish,
                        wire.Scores
                    )
                    {
                        Reasoning = wire.Reasoning,
                    };
                }
            ),
        ];
    }

    private sealed record Wire(
        string Prompt,
        string Prediction,
        string Label,
        FinishReason Finish,
        GenerationScores Scores,
        string Reasoning
    );
}
