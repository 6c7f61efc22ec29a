using GlmTune.Model.Prequantized;
using GlmTune.Weights;

namespace GlmTune.Model;

/// <summary>Where rows of a parameter are stored.</summary>
/// <param name="Slice">The rows.</param>
/// <param name="Plain">The tensor that holds them; null if they are quantized.</param>
/// <param name="Quantized">The tensors that hold them; null if they are not quantized.</param>
internal sealed record StoredWeight(WeightSlice Slice, StoredTensor? Plain, QuantizedTensor? Quantized);
