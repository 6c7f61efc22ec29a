using GlmTune.Data.Batching;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>Results of a forward pass.</summary>
/// <param name="Rows">Number of rows, B.</param>
/// <param name="Length">Length of the rows, T.</param>
/// <param name="SupervisedTokens">Number of targets of the loss.</param>
/// <param name="Loss">Mean −log p of the targets; NaN without targets; null without labels.</param>
internal sealed record ForwardReport(int Rows, int Length, int SupervisedTokens, double? Loss);

/// <summary>Runs a model on a padded batch and writes the logits to a file, for comparison with other
/// frameworks.</summary>
/// <remarks>The file contains <c>logits</c>, float32 [B, T, V], zero at padding, and, if the batch has labels,
/// <c>loss</c>, float32 []: the mean over supervised next-token targets. The position of a token is the number of
/// non-padding tokens before it.</remarks>
internal static class ForwardPass
{
    // Maximum logits in memory at a time: 1 GiB in float32, or one row if that is larger.
    private const long MaxLogits = 1L << 28;

    /// <summary>Runs the batch, as many rows at a time as memory for the logits allows.</summary>
    /// <param name="model">The model.</param>
    /// <param name="grid">The batch.</param>
    /// <param name="output">Path of the safetensors file to write.</param>
    /// <param name="stop">Checked between two passes.</param>
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
        foreach (
            var rows in Enumerable
                .Range(0, grid.Rows)
                .Chunk((int)Math.Clamp(MaxLogits / ((long)grid.Length * vocabulary), 1, grid.Rows))
        )
        {
            stop.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var logits = Logits(model, grid, rows);
            StoredTensors.WithBytes(
                logits,
                ScalarType.Float32,
                (address, bytes) => file.Write("logits", address, bytes)
            );
            var (rowsSum, rowsTargets) = Loss(logits, grid, rows);
            (sum, targets) = (sum + rowsSum, targets + rowsTargets);
        }

        double? loss = grid.Labels is null ? null : sum / targets;
        if (loss is { } mean)
        {
            file.Write("loss", BitConverter.GetBytes((float)mean));
        }

        file.Complete();
        return new ForwardReport(grid.Rows, grid.Length, targets, loss);
    }

    // [rows · T, V], float32, on the model's device; padding is removed for the pass and stays zero.
    private static Tensor Logits(ICausalLm model, TokenGrid grid, int[] rows)
    {
        using var scope = NewDisposeScope();
        var places = rows.Index()
            .Select(row =>
                Array.ConvertAll(
                    grid.RealPositions(row.Item),
                    place => (Row: row.Item, Position: place, Flat: ((long)row.Index * grid.Length) + place)
                )
            )
            .Where(row => row.Length > 0)
            .ToList();
        var logits = zeros(
            (long)rows.Length * grid.Length,
            model.Config.VocabularySize,
            ScalarType.Float32,
            model.Device
        );
        if (places.Count > 0)
        {
            int[] starts =
            [
                .. places.Select((_, row) => places.Take(row).Sum(before => before.Length)),
                places.Sum(row => row.Length),
            ];
            int[] ids = [.. places.SelectMany(row => row.Select(at => grid.InputIds[at.Row][at.Position]))];
            long[] flat = [.. places.SelectMany(row => row.Select(at => at.Flat))];
            logits.index_copy_(
                0,
                tensor(flat).to(model.Device),
                model.Logits(ids, new SequenceLayout(starts, model.Device)).to_type(ScalarType.Float32)
            );
        }

        return logits.MoveToOuterDisposeScope();
    }

    // A label counts if the token before it, from which it is predicted, is not padding.
    private static (double Sum, int Targets) Loss(Tensor logits, TokenGrid grid, int[] rows)
    {
        var supervised = grid.Labels is null
            ? []
            : rows.Index()
                .SelectMany(row =>
                    Enumerable
                        .Range(1, grid.Length - 1)
                        .Where(place =>
                            grid.Labels[row.Item][place] != MicroBatch.Ignored
                            && grid.AttentionMask[row.Item][place - 1] == 1
                        )
                        .Select(place =>
                            (
                                From: ((long)row.Index * grid.Length) + place - 1,
                                Target: (long)grid.Labels[row.Item][place]
                            )
                        )
                )
                .ToList();
        if (supervised.Count == 0)
        {
            return (0, 0);
        }

        using var scope = NewDisposeScope();
        var chosen = logits.index_select(0, tensor(supervised.Select(at => at.From).ToArray()).to(logits.device));
        var labels = tensor(supervised.Select(at => at.Target).ToArray()).to(logits.device);
        var sum = nn.functional.cross_entropy(chosen.to_type(ScalarType.Float64), labels, reduction: nn.Reduction.Sum);
        return (sum.item<double>(), supervised.Count);
    }
}
