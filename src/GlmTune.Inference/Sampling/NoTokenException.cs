namespace GlmTune.Inference;

/// <summary>An answer cannot continue because there is no token to choose: logits are not finite, or every token is
/// forbidden. Other answers continue.</summary>
/// <param name="message">What happened, and why.</param>
public sealed class NoTokenException(string message) : InvalidOperationException(message);
