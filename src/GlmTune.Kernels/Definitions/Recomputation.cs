using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Recomputes a value, bit for bit, from tensors that are kept anyway, such as a norm's output from its
/// input.</summary>
/// <param name="Sources">The tensors it is computed from; they remain owned by the caller.</param>
/// <param name="Compute">Computes the value, in the caller's dispose scope.</param>
internal sealed record Recomputation(Tensor[] Sources, Func<Tensor[], Tensor> Compute);
