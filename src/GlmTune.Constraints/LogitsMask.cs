namespace GlmTune.Constraints;

/// <summary>Masks tokens before one is selected, for example to follow a grammar.</summary>
/// <param name="answer">Token ids generated so far; valid only during the call.</param>
/// <param name="logits">Logits of the whole vocabulary; tokens set to negative infinity are not selected. At least one
/// must remain.</param>
/// <remarks>Called once per token of an answer, in order, from one thread at a time.</remarks>
internal delegate void LogitsMask(ReadOnlySpan<int> answer, Span<float> logits);
