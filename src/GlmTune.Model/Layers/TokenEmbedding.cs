using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Token ids to hidden states: rows of a table.</summary>
internal sealed class TokenEmbedding : Layer
{
    /// <param name="weight">[V, C].</param>
    /// <param name="isShared">Whether the output head projects by the same table.</param>
    public TokenEmbedding(Parameter weight, bool isShared = false) => (Weight, IsShared) = (weight, isShared);

    /// <summary>The table [V, C].</summary>
    public Parameter Weight { get; }

    /// <summary>Whether the output head projects by the same table.</summary>
    public bool IsShared { get; }

    /// <inheritdoc/>
    public override string Name => "embedding";

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters => [Weight];

    /// <summary>Whether the table is in host memory: a pass needs few of its rows.</summary>
    public bool OnHost =>
        Weight is { IsLoaded: true, Device.type: TorchSharp.DeviceType.CUDA }
        && Weight.Value.device_type == TorchSharp.DeviceType.CPU;

    /// <summary>Hidden states [N, C] of token ids, int64 [N].</summary>
    /// <param name="tokenIds">int64 [N].</param>
    /// <param name="kernels">Layer functions.</param>
    public Tensor Forward(Tensor tokenIds, LayerKernels kernels) => kernels.TokenRows(Weight.Value, tokenIds);

    /// <summary>Moves the table to page-locked host memory; does nothing for a model on the CPU.</summary>
    /// <exception cref="InvalidOperationException">The table is trained, or the output head needs it too.</exception>
    public void MoveToHost()
    {
        if (IsShared)
        {
            throw new InvalidOperationException(
                $"The output head uses '{Weight.Name}' too, so it stays on the device."
            );
        }

        if (Weight.Trainable)
        {
            throw new InvalidOperationException($"'{Weight.Name}' is trained, so it stays on the device.");
        }

        if (Weight.Device.type == TorchSharp.DeviceType.CUDA && !OnHost)
        {
            using var scope = NewDisposeScope();
            Weight.Value = Weight.Value.cpu().pin_memory();
        }
    }

    /// <summary>Computes the gradient of the table, if it is trained.</summary>
    /// <param name="gradient">Gradient of the hidden states, [N, C].</param>
    /// <param name="tokenIds">int64 [N].</param>
    /// <param name="kernels">Layer functions.</param>
    public void Backward(Tensor gradient, Tensor tokenIds, LayerKernels kernels)
    {
        if (Weight.Trainable)
        {
            using var scope = NewDisposeScope();
            var wide = Weight.WideGradient();
            if (Weight.CollectsInOwnType)
            {
                kernels.AddEmbeddingGradient(gradient, tokenIds, wide);
                return;
            }

            wide.IndexAddInPlace(0, tokenIds, gradient.to_type(wide.dtype));
        }
    }
}
