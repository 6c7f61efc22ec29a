using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The tokens of a pass that go past the last layer's attention: those whose logits are asked for.</summary>
/// <param name="Index">Which, int64 [m].</param>
/// <param name="Adapters">Theirs, where tokens have low-rank ones.</param>
public sealed record LastRows(Tensor Index, AdapterRows? Adapters);
