namespace GlmTune.Constraints;

/// <summary>Says which tokens may come next, for example by a grammar.</summary>
/// <param name="answer">Token ids generated so far; valid only during the call.</param>
/// <param name="allowed">Bit set of the vocabulary, to be overwritten: token i is bit i % 32 of element i / 32. Bits
/// beyond the vocabulary do not matter.</param>
/// <remarks>Called once per token of an answer, in order, from one thread at a time.</remarks>
internal delegate void TokenMask(ReadOnlySpan<int> answer, Span<uint> allowed);
