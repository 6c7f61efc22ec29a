using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The tokens of a pass that continue after the last layer's attention: those whose logits are
/// needed.</summary>
/// <param name="Index">Their indices, int64 [m].</param>
/// <param name="Adapters">Their adapters, if low-rank adapters are used.</param>
internal sealed record LastRows(Tensor Index, MixedRows? Adapters);
