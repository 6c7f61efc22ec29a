namespace GlmTune.Inference;

/// <summary>An answer cannot be continued, because the model or the constraints leave no token to choose: logits are not
/// finite, or every token is forbidden. Other answers go on.</summary>
/// <param name="message">Which of them, and why.</param>
public sealed class NoTokenException(string message) : InvalidOperationException(message);
