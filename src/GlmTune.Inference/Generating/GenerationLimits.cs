namespace GlmTune.Inference;

/// <summary>Limits on concurrent generation.</summary>
public sealed record GenerationLimits
{
    /// <summary>Maximum answers generated concurrently. Default: 16.</summary>
    public int Slots { get; init; } = 16;

    /// <summary>Maximum bytes of the KV cache, unless a single answer needs more. Default: 4 GiB.</summary>
    public long CacheBytes { get; init; } = 4L << 30;

    /// <summary>Maximum tokens of prompt and answer together; null: what the model supports. Default: null.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Maximum tokens per pass: one for each answer that is being generated, the others of prompts, which are
    /// split. Prompts get at least a quarter. Default: 4096.</summary>
    public int PassTokens { get; init; } = 4096;

    /// <summary>Whether keys and values of finished answers stay in the cache until their memory is needed, so that a
    /// continued conversation, or a prompt with the same beginning, is not processed again. The least recently used go
    /// first. Default: true.</summary>
    public bool KeepsAnswers { get; init; } = true;

    /// <summary>Whether the whole cache is allocated at once, as a server that has its device for itself does.
    /// Otherwise it grows as needed. Default: false.</summary>
    public bool ReservesCache { get; init; }

    /// <summary>These limits with a cache that fits into memory: at most four fifths of what is free, because passes
    /// also need memory.</summary>
    /// <param name="free">Free bytes; null if unknown, which changes nothing.</param>
    public GenerationLimits Within(long? free) =>
        free is { } bytes ? this with { CacheBytes = Math.Clamp(bytes / 5 * 4, 1, CacheBytes) } : this;

    /// <exception cref="ArgumentException">A limit is out of range.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Slots, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(CacheBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(PassTokens, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxLength ?? 1, 1);
    }
}
