using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Model;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>What a forward pass came to.</summary>
/// <param name="Rows">B.</param>
/// <param name="Length">T.</param>
/// <param name="SupervisedTokens">Targets of the loss.</param>
/// <param name="Loss">Mean −log p of the targets; NaN without targets; null without labels.</param>
public sealed record ForwardReport(int Rows, int Length, int SupervisedTokens, double? Loss);

/// <summary>One pass of a model over a padded batch, written to a file, to compare with other frameworks.</summary>
/// <remarks>
/// The file has <c>logits</c> float32 [B, T, V], zero where a token is padding, and, where the batch has labels, <c>loss</c>
/// float32 []: the mean over supervised next-token targets. A real token's position is the number of real tokens before it.
/// </remarks>
public static class ForwardPass
{
    /// <summary>Runs it row by row, so that the logits of one row at a time are in memory.</summary>
    /// <param name="model">The model.</param>
    /// <param name="grid">The batch.</param>
    /// <param name="output">The safetensors file to write.</param>
    /// <param name="stop">Ends it between two rows.</param>
    public static ForwardReport Run(ICausalLm model, TokenGrid grid, string output, CancellationToken stop = default)
    {
        var vocabulary = model.Config.VocabularySize;
        List<TensorSpec> specs = [StoredTensors.Spec("logits", ScalarType.Float32, grid.Rows, grid.Length, vocabulary)];
        if (grid.Labels is not null)
        {
            specs.Add(StoredTensors.Spec("loss", ScalarType.Float32));
        }

        var (sum, targets) = (0.0, 0);
        using var file = new SafetensorsWriter(output, specs);
        for (var row = 0; row < grid.Rows; row++)
        {
            stop.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var logits = zeros(grid.Length, vocabulary, ScalarType.Float32, model.Device);
            var places = grid.RealPlaces(row);
            if (places.Length > 0)
            {
                int[] ids = [.. places.Select(place => grid.InputIds[row][place])];
                var real = model.Logits(ids, SequenceLayout.OfRows(1, ids.Length, model.Device)).to_type(ScalarType.Float32);
                logits.index_copy_(0, tensor(Array.ConvertAll(places, place => (long)place)).to(model.Device), real);
            }

            StoredTensors.WithBytes(logits, ScalarType.Float32, (address, bytes) => file.Write("logits", address, bytes));
            var (rowSum, rowTargets) = Loss(logits, grid, row);
            (sum, targets) = (sum + rowSum, targets + rowTargets);
        }

        double? loss = grid.Labels is null ? null : sum / targets;
        if (loss is { } mean)
        {
            file.Write("loss", BitConverter.GetBytes((float)mean));
        }

        file.Complete();
        return new ForwardReport(grid.Rows, grid.Length, targets, loss);
    }

    // A label counts where the place before it is real: that is where it is predicted from.
    private static (double Sum, int Targets) Loss(Tensor logits, TokenGrid grid, int row)
    {
        int[] places = grid.Labels is null ? []
            : [.. Enumerable.Range(1, grid.Length - 1).Where(place => grid.Labels[row][place] != MicroBatch.Ignored && grid.AttentionMask[row][place - 1] == 1)];
        if (places.Length == 0)
        {
            return (0, 0);
        }

        using var scope = NewDisposeScope();
        var rows = tensor(Array.ConvertAll(places, place => place - 1L)).to(logits.device);
        var labels = tensor(Array.ConvertAll(places, place => (long)grid.Labels![row][place])).to(logits.device);
        var sum = nn.functional.cross_entropy(logits.index_select(0, rows).to_type(ScalarType.Float64), labels, reduction: nn.Reduction.Sum);
        return (sum.item<double>(), places.Length);
    }
}
