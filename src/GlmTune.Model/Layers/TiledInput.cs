using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The input of a feed-forward block that runs in tiles of tokens, on the tape in place of everything that the
/// block computes from it.</summary>
internal sealed class TiledInput : IDisposable
{
    /// <param name="input">The input, of which the tape gets handles of its own.</param>
    public TiledInput(LinearInput input) =>
        Input = new LinearInput(
            Handle(input.Values),
            input.Quantized is { } rows ? new Fp8Rows(Handle(rows.Values)!, Handle(rows.Scales)!) : null
        );

    /// <summary>The input, [N, C].</summary>
    public LinearInput Input { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Input.Values?.Dispose();
        Input.Quantized?.Values.Dispose();
        Input.Quantized?.Scales.Dispose();
    }

    private static Tensor? Handle(Tensor? tensor) => tensor?.alias().DetachFromDisposeScope();
}
