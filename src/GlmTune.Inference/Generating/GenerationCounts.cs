namespace GlmTune.Inference;

/// <summary>What a batch has done so far, and how full its cache is. One thread writes; any may read.</summary>
internal sealed class GenerationCounts
{
    private long promptTokens;
    private long foundTokens;
    private long preemptions;
    private int usedBlocks;
    private int keptBlocks;
    private int freeBlocks;

    /// <summary>Tokens of the prompts whose answers have begun.</summary>
    public long PromptTokens => Interlocked.Read(ref promptTokens);

    /// <summary>How many of <see cref="PromptTokens"/> were found in the cache.</summary>
    public long FoundTokens => Interlocked.Read(ref foundTokens);

    /// <summary>How often an answer had to wait because no block was left.</summary>
    public long Preemptions => Interlocked.Read(ref preemptions);

    /// <summary>Blocks that answers and prefixes use.</summary>
    public int UsedBlocks => Volatile.Read(ref usedBlocks);

    /// <summary>Blocks of finished answers, kept until their memory is needed.</summary>
    public int KeptBlocks => Volatile.Read(ref keptBlocks);

    /// <summary>Blocks that hold nothing, including those that the cache may still grow by.</summary>
    public int FreeBlocks => Volatile.Read(ref freeBlocks);

    /// <summary>Counts the first token of an answer.</summary>
    /// <param name="prompt">Tokens of its prompt.</param>
    /// <param name="found">How many of these were in the cache.</param>
    public void Begun(int prompt, int found)
    {
        Interlocked.Add(ref promptTokens, prompt);
        Interlocked.Add(ref foundTokens, found);
    }

    /// <summary>Counts an answer that has to wait.</summary>
    public void Preempted() => Interlocked.Increment(ref preemptions);

    /// <summary>Records the state of the cache.</summary>
    public void Record(int used, int kept, int free)
    {
        Volatile.Write(ref usedBlocks, used);
        Volatile.Write(ref keptBlocks, kept);
        Volatile.Write(ref freeBlocks, free);
    }
}
