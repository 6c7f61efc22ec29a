using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>What a checkpoint keeps of a <see cref="FlatShard"/>.</summary>
/// <param name="Layout">The parameters and the slice.</param>
/// <param name="Master">Master weights, or the weights themselves [n].</param>
/// <param name="Moments">AdamW's moments [n].</param>
internal sealed record ShardState(FlatLayout Layout, Tensor Master, Moments Moments);
