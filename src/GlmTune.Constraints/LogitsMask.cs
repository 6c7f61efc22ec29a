namespace GlmTune.Constraints;

/// <summary>Forbids tokens before one is chosen, as decoding constrained to a grammar does.</summary>
/// <param name="answer">Ids generated so far; valid during the call.</param>
/// <param name="logits">Of every token of the vocabulary; what is set to negative infinity is not chosen. At least one
/// must stay.</param>
/// <remarks>Called once for each token of an answer, in order, from one thread at a time.</remarks>
public delegate void LogitsMask(ReadOnlySpan<int> answer, Span<float> logits);
