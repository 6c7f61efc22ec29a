using GlmTune.Data.Templates;

namespace GlmTune.Data.Preprocessing;

/// <summary>Examples in memory, as bytes in a few large blocks: much less than as objects.</summary>
internal sealed class MemoryExamples : ExampleList
{
    private const int BlockBytes = 1 << 20;

    private readonly List<byte[]> blocks = [];
    private readonly List<(int Block, int Offset, int Size)> places = [];
    private readonly List<int> tokens = [];
    private readonly List<int> supervised = [];
    private int used;

    /// <inheritdoc/>
    public override int Count => places.Count;

    /// <inheritdoc/>
    public override TokenizedExample this[int index]
    {
        get
        {
            var (block, offset, size) = places[index];
            return StoredExample.Read(blocks[block].AsSpan(offset, size));
        }
    }

    /// <inheritdoc/>
    public override IReadOnlyList<int> Tokens => tokens;

    /// <inheritdoc/>
    public override int SupervisedTokensOf(int index) => supervised[index];

    /// <summary>Adds an example.</summary>
    public void Add(TokenizedExample example)
    {
        var size = StoredExample.SizeOf(example);
        if (blocks.Count == 0 || size > blocks[^1].Length - used)
        {
            blocks.Add(GC.AllocateUninitializedArray<byte>(Math.Max(size, BlockBytes)));
            used = 0;
        }

        StoredExample.Write(example, blocks[^1].AsSpan(used, size));
        places.Add((blocks.Count - 1, used, size));
        tokens.Add(example.TokenIds.Length);
        supervised.Add(example.SupervisedTokens);
        used += size;
    }
}
