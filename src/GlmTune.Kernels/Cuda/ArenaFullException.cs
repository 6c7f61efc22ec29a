namespace GlmTune.Kernels.Cuda;

/// <summary>A <see cref="TensorArena"/> was laid out too small for the kernels that use it.</summary>
/// <param name="message">How many bytes were left, and how many were needed.</param>
internal sealed class ArenaFullException(string message) : InvalidOperationException(message);
