using System.Diagnostics.CodeAnalysis;

namespace GlmTune.Inference;

/// <summary>Which blocks of a cache are in use, and which hold known tokens, so that rows that start alike share
/// them.</summary>
/// <remarks>A known block is found by the chain of the blocks before it and its own tokens, which are compared, not
/// only hashed. Blocks that nobody uses any more stay known until their memory is needed; the least recently used goes
/// first. Block 0 is never given out. Not thread-safe.</remarks>
/// <param name="keeps">Whether known blocks stay known while nobody uses them.</param>
internal sealed class BlockStore(bool keeps)
{
    private readonly Stack<int> free = [];
    private readonly LinkedList<int> unused = []; // Known blocks without users, the least recently used first.
    private readonly Dictionary<BlockKey, int> known = [];
    private readonly List<Block> blocks = [new()];
    private long lastChain;

    /// <summary>Number of blocks, including block 0.</summary>
    public int Count => blocks.Count;

    /// <summary>Number of blocks that hold nothing.</summary>
    public int Free => free.Count;

    /// <summary>Number of blocks that can be had: those that hold nothing, and known ones without users.</summary>
    public int Available => free.Count + unused.Count;

    /// <summary>Number of blocks in use.</summary>
    public int Used => Count - 1 - Available;

    /// <summary>Adds blocks, up to a number of all.</summary>
    public void Grow(int count)
    {
        for (var block = count - 1; block >= Count; block--)
        {
            free.Push(block);
        }

        while (Count < count)
        {
            blocks.Add(new Block());
        }
    }

    /// <summary>A chain that no other row is on: the beginning of the rows of an adapter.</summary>
    public long NewChain() => ++lastChain;

    /// <summary>Takes a block for one user.</summary>
    /// <exception cref="InvalidOperationException">None is available.</exception>
    public int Take()
    {
        if (!free.TryPop(out var block))
        {
            block =
                unused.First?.Value ?? throw new InvalidOperationException("The cache has no block left to give out.");
            Forget(block);
        }

        blocks[block].Users = 1;
        return block;
    }

    /// <summary>Adds a user to a block in use, or to a known one.</summary>
    public void Share(int block)
    {
        var state = blocks[block];
        state.Users++;
        if (state.Place is { } place)
        {
            unused.Remove(place);
            state.Place = null;
        }
    }

    /// <summary>Number of users of a block.</summary>
    public int UsersOf(int block) => blocks[block].Users;

    /// <summary>Removes a user from a block. Release a row's last block first, so that the first, which more rows can
    /// use, stays longest.</summary>
    public void Release(int block)
    {
        var state = blocks[block];
        if (--state.Users > 0)
        {
            return;
        }

        if (state.Key is null)
        {
            free.Push(block);
        }
        else if (keeps)
        {
            state.Place = unused.AddLast(block);
        }
        else
        {
            Forget(block);
            free.Push(block);
        }
    }

    /// <summary>Finds a known block.</summary>
    /// <param name="chain">Chain of the blocks before it.</param>
    /// <param name="tokens">Its tokens.</param>
    /// <param name="block">The block.</param>
    /// <param name="next">The chain that ends with it.</param>
    public bool TryFind(long chain, int[] tokens, out int block, out long next)
    {
        var found = known.TryGetValue(new BlockKey(chain, tokens), out block);
        next = found ? blocks[block].Chain : 0;
        return found;
    }

    /// <summary>Records the tokens of a full block in use. If another block has the same, that one stays the known
    /// one.</summary>
    /// <param name="block">The block.</param>
    /// <param name="chain">Chain of the blocks before it.</param>
    /// <param name="tokens">Its tokens; not modified afterwards.</param>
    /// <returns>The chain that ends with it.</returns>
    public long Record(int block, long chain, int[] tokens)
    {
        var key = new BlockKey(chain, tokens);
        if (known.TryGetValue(key, out var other))
        {
            return blocks[other].Chain;
        }

        known.Add(key, block);
        (blocks[block].Key, blocks[block].Chain) = (key, NewChain());
        return blocks[block].Chain;
    }

    private void Forget(int block)
    {
        var state = blocks[block];
        if (state.Place is { } place)
        {
            unused.Remove(place);
        }

        known.Remove(state.Key!.Value);
        (state.Key, state.Place) = (null, null);
    }

    private sealed class Block
    {
        public int Users { get; set; }

        public BlockKey? Key { get; set; }

        public long Chain { get; set; }

        public LinkedListNode<int>? Place { get; set; }
    }

    private readonly struct BlockKey : IEquatable<BlockKey>
    {
        private readonly long chain;
        private readonly int[] tokens;
        private readonly int hash;

        public BlockKey(long chain, int[] tokens)
        {
            (this.chain, this.tokens) = (chain, tokens);
            var code = new HashCode();
            code.Add(chain);
            foreach (var token in tokens)
            {
                code.Add(token);
            }

            hash = code.ToHashCode();
        }

        public bool Equals(BlockKey other) => chain == other.chain && tokens.AsSpan().SequenceEqual(other.tokens);

        public override bool Equals([NotNullWhen(true)] object? other) => other is BlockKey key && Equals(key);

        public override int GetHashCode() => hash;
    }
}
