using GlmTune.Kernels.Definitions;

namespace GlmTune.Model;

/// <summary>How the weights of the decoder layers' linear layers are stored. Embedding, norms, biases and output head
/// keep the model's type.</summary>
/// <param name="Type">How they are stored.</param>
/// <param name="Backward">Whether gradients are computed through them, as in training below an adapter.</param>
internal readonly record struct Quantization(FrozenType Type, bool Backward);
