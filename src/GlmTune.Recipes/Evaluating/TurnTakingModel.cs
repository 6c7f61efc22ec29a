using GlmTune.Collectives;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Recipes.Training;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Evaluating;

/// <summary>A model with sharded weights, for which every pass needs all ranks: ranks without work of their own run
/// empty passes.</summary>
/// <remarks>Before each pass the ranks exchange what they want to run. While any rank still computes losses, all do;
/// then answers are generated until no rank has any left. Ranks may therefore have different numbers of rows, and
/// answers of any length.</remarks>
/// <param name="inner">The model, which gathers weights over all ranks in each pass.</param>
/// <param name="ranks">The ranks.</param>
/// <param name="stop">Checked on each rank before each pass; if set on any rank, all stop.</param>
internal sealed class TurnTakingModel(ICausalLm inner, RunRanks ranks, CancellationToken stop)
    : DelegatingCausalLm(inner)
{
    private enum Turn
    {
        Loss,
        Answers,
        Nothing,
    }

    /// <inheritdoc/>
    /// <exception cref="OperationCanceledException">A rank was asked to stop; thrown on all ranks.</exception>
    public override Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        WaitFor(Turn.Answers);
        return base.Logits(tokenIds, sequences, cache, lastOnly, adapters);
    }

    /// <inheritdoc/>
    /// <exception cref="OperationCanceledException">A rank was asked to stop; thrown on all ranks.</exception>
    public override double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        WaitFor(Turn.Loss);
        return base.Loss(tokenIds, sequences, targets);
    }

    /// <summary>Always null: a decoder's passes would bypass the exchange.</summary>
    /// <inheritdoc/>
    public override IDecoder? NewDecoder(KvCache cache, int vocabularySize) => null;

    /// <summary>Runs empty passes until no rank has work left.</summary>
    /// <exception cref="OperationCanceledException">A rank was asked to stop; thrown on all ranks.</exception>
    public void Finish() => WaitFor(Turn.Nothing);

    private void WaitFor(Turn mine)
    {
        while (Next(mine) is var turn && turn < mine)
        {
            PassEmpty(turn);
        }
    }

    private Turn Next(Turn mine)
    {
        var wanted = ranks.Collectives.GatherDoubles([(double)mine, stop.IsCancellationRequested ? 1 : 0]);
        return wanted.Any(of => of[1] > 0) ? throw new OperationCanceledException(stop) : (Turn)wanted.Min(of => of[0]);
    }

    private void PassEmpty(Turn turn)
    {
        using var scope = NewDisposeScope();
        const int token = 0;
        if (turn == Turn.Loss)
        {
            using var targets = new SupervisedTargets([0], [token], Device);
            Inner.Loss([token, token], SequenceLayout.OfRows(1, 2, Device), targets);
            return;
        }

        Inner.Logits([token], SequenceLayout.OfRows(1, 1, Device), lastOnly: true);
    }
}
