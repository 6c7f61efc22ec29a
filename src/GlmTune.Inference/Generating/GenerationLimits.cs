namespace GlmTune.Inference;

/// <summary>How much a generator does at once.</summary>
public sealed record GenerationLimits
{
    /// <summary>Answers made side by side, at most. Default 16.</summary>
    public int Slots { get; init; } = 16;

    /// <summary>Bytes of cached keys and values, at most, unless a single answer needs more. Default 4 GiB.</summary>
    public long CacheBytes { get; init; } = 4L << 30;

    /// <summary>Tokens of prompts in one pass, at most; longer prompts go in several. Default 4096.</summary>
    public int PassTokens { get; init; } = 4096;

    /// <summary>Finished answers whose keys and values stay in a scheduler's cache, at most, so that a conversation
    /// that goes on is not read again; the least recently used goes first, sooner where <see cref="CacheBytes"/> are
    /// needed. 0 keeps none. Default 16.</summary>
    public int KeptAnswers { get; init; } = 16;

    /// <summary>These, with a cache that fits into memory: at most four fifths of what is free, since passes need some
    /// too.</summary>
    /// <param name="free">Bytes; null where it is not known, which changes nothing.</param>
    public GenerationLimits Within(long? free) =>
        free is { } bytes ? this with { CacheBytes = Math.Clamp(bytes / 5 * 4, 1, CacheBytes) } : this;

    /// <exception cref="ArgumentException">One is out of range.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Slots, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(CacheBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(PassTokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(KeptAnswers);
    }
}
