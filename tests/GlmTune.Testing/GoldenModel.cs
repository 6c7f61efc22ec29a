using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Testing;

/// <summary>What the reference says of a model on the golden batch.</summary>
public static class GoldenModel
{
    /// <summary>Compares logits and loss.</summary>
    /// <param name="model">With or without an adapter.</param>
    /// <param name="folder">Holds <c>batch.json</c> and <c>expected.safetensors</c>.</param>
    /// <param name="tag">Which of the reference's outputs.</param>
    internal static void CheckLogits(DecoderModel model, string folder, string tag)
    {
        var golden = GoldenBatch.Read(Path.Combine(folder, "batch.json"));
        using var expected = WeightFiles.Open(Path.Combine(folder, "expected.safetensors"));
        var batch = golden.ToMicroBatch();
        var wanted = expected.Get($"{tag}.logits");
        var real = wanted.reshape(-1, wanted.shape[^1]).index_select(0, tensor(golden.RealPositions));
        var logits = model.Logits(batch.TokenIds, new SequenceLayout(batch.SequenceStarts, CPU));
        var off = ((logits - real).norm() / real.norm()).item<float>();
        Require(off <= 1e-5, $"{tag}: the logits are off by {off} of their norm.");
        TensorAssert.Close(real, logits, 2e-5, "logits");

        int[] rows =
        [
            .. Enumerable
                .Range(0, batch.TokenIds.Length - 1)
                .Where(i =>
                    batch.Labels[i + 1] != Data.Batching.MicroBatch.Ignored && !batch.SequenceStarts.Contains(i + 1)
                ),
        ];
        using var targets = new SupervisedTargets(rows, [.. rows.Select(row => batch.Labels[row + 1])], CPU);
        var loss = model.Loss(batch.TokenIds, new SequenceLayout(batch.SequenceStarts, CPU), targets) / targets.Count;
        var reference = expected.Get($"{tag}.loss").item<float>();
        Require(
            Math.Abs(loss - reference) <= Math.Abs(reference) * 1e-5,
            $"{tag}: the loss is {loss}, not {reference}."
        );
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidOperationException(otherwise);
        }
    }
}
