using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Makes a value again, to the bit, from tensors that are kept anyway: a norm's output from its input,
/// say.</summary>
/// <param name="Sources">What it is made from; stays the caller's.</param>
/// <param name="Compute">Gives the value, in the caller's dispose scope.</param>
public sealed record Recomputation(Tensor[] Sources, Func<Tensor[], Tensor> Compute);
