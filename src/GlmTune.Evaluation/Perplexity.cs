using GlmTune.Data.Templates;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Layers;

namespace GlmTune.Evaluation;

/// <summary>Measures how well a model predicts the supervised tokens of examples.</summary>
internal static class Perplexity
{
    /// <summary>The loss over all supervised tokens. Every token has the same weight, however rows are grouped into
    /// passes.</summary>
    /// <param name="model">The model; it is not modified, and no dropout is applied.</param>
    /// <param name="examples">The examples.</param>
    /// <param name="rows">Examples per forward pass, at least 1.</param>
    /// <param name="onRows">Called with the number of examples done, after each pass.</param>
    /// <param name="cancellation">Checked between passes.</param>
    /// <remarks>The longest examples come first, so that each pass holds rows of similar length and running out of
    /// memory happens at once.</remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rows"/> is not positive.</exception>
    public static LossTotal Of(
        ICausalLm model,
        IReadOnlyCollection<TokenizedExample> examples,
        int rows = 8,
        Action<int>? onRows = null,
        CancellationToken cancellation = default
    )
    {
        var total = new LossTotal();
        var done = 0;
        foreach (var together in examples.OrderByDescending(example => example.TokenIds.Length).Chunk(rows))
        {
            cancellation.ThrowIfCancellationRequested();
            total += Pass(model, together);
            done += together.Length;
            onRows?.Invoke(done);
        }

        return total;
    }

    private static LossTotal Pass(ICausalLm model, TokenizedExample[] examples)
    {
        var ids = new List<int>();
        var starts = new List<int> { 0 };
        var (from, to) = (new List<int>(), new List<int>());
        foreach (var example in examples)
        {
            foreach (var (start, end) in example.Supervised)
            {
                from.AddRange(Enumerable.Range(ids.Count + start - 1, end - start));
                to.AddRange(example.TokenIds[start..end]);
            }

            ids.AddRange(example.TokenIds);
            starts.Add(ids.Count);
        }

        if (to.Count == 0)
        {
            return default;
        }

        using var targets = new SupervisedTargets([.. from], [.. to], model.Device);
        return new LossTotal(model.Loss([.. ids], new SequenceLayout(starts, model.Device), targets), to.Count);
    }
}
