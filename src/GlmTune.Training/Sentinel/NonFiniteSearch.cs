using GlmTune.Data.Batching;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sentinel;

/// <summary>Looks at everything that passes between layers, for the first that is not finite and the rows in which it
/// is. Waits for the device after each layer, so it runs only after a step has gone wrong.</summary>
internal sealed class NonFiniteSearch
{
    private MicroBatch? batch;
    private int firstToken;

    /// <summary>What was found first; null: nothing.</summary>
    public TroubleOrigin? Found { get; private set; }

    /// <summary>Begins with a micro-batch.</summary>
    /// <param name="next">The micro-batch.</param>
    /// <param name="pass">Its pass, of which this rank may have only some of the tokens.</param>
    public void Begin(MicroBatch next, TrainingPass pass) =>
        (batch, firstToken) = (next, pass.Run is { } run ? run.Start.Value : 0);

    /// <summary>Looks at an output, or at the gradient of an input.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="values">[N, C].</param>
    /// <param name="inBackward">Whether it is a gradient.</param>
    public void Look(Layer layer, Tensor values, bool inBackward)
    {
        if (Found is not null)
        {
            return;
        }

        using var scope = NewDisposeScope();
        var type = values.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        var sums = values.detach().reshape(values.shape[0], -1).sum(1, type: type);
        var isFinite = isfinite(sums).cpu().data<bool>().ToArray();
        if (!isFinite.All(each => each))
        {
            var tokens = Enumerable.Range(0, isFinite.Length).Where(i => !isFinite[i]).Select(i => firstToken + i);
            Found = new TroubleOrigin(layer.Name, inBackward, RowsOf(tokens));
        }
    }

    /// <summary>Looks at the loss of a pass.</summary>
    /// <param name="layer">The layer that computes it.</param>
    /// <param name="loss">A scalar.</param>
    public void LookAtLoss(Layer layer, Tensor loss)
    {
        if (Found is null && !isfinite(loss).item<bool>())
        {
            Found = new TroubleOrigin(layer.Name, InBackward: false, batch!.Examples);
        }
    }

    /// <summary>Looks at the gradients of a layer's own parameters, in which all rows are summed.</summary>
    public void LookAtParameters(Layer layer)
    {
        foreach (var gradient in layer.Parameters.Select(parameter => parameter.Gradient).OfType<Tensor>())
        {
            using var scope = NewDisposeScope();
            if (Found is null && !isfinite(gradient).all().item<bool>())
            {
                Found = new TroubleOrigin(layer.Name, InBackward: true, batch!.Examples);
            }
        }
    }

    // Tokens that are only padding belong to no row.
    private int[] RowsOf(IEnumerable<int> tokens)
    {
        var starts = batch!.SequenceStarts;
        return
        [
            .. tokens
                .Select(token => Array.FindLastIndex(starts, start => start <= token))
                .Where(row => row >= 0 && row < batch.Examples.Length)
                .Distinct()
                .Select(row => batch.Examples[row]),
        ];
    }
}
