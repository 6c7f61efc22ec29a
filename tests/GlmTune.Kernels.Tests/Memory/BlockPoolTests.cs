using GlmTune.Kernels.Memory;

namespace GlmTune.Kernels.Tests;

/// <summary>Page-locked memory is bounded however many threads come and go.</summary>
public class BlockPoolTests
{
    [Fact]
    public void Threads_that_come_and_go_share_one_block()
    {
        var pool = new BlockPool<Block>(() => new Block(), block => !block.Busy, block => block.Busy = false, 8);
        for (var i = 0; i < 50; i++)
        {
            var thread = new Thread(() => pool.Return(pool.Rent()));
            thread.Start();
            thread.Join();
        }

        Assert.Equal(1, pool.Count);
    }

    [Fact]
    public void A_busy_block_is_passed_over_until_the_limit_and_then_the_first_is_waited_for()
    {
        var waited = new List<Block>();
        var pool = new BlockPool<Block>(() => new Block(), block => !block.Busy, waited.Add, 3);
        var blocks = Enumerable.Range(0, 3).Select(_ => Use(pool)).ToList();
        Assert.Equal(3, blocks.Distinct().Count());
        Assert.Empty(waited);

        Assert.Same(blocks[0], Use(pool));
        Assert.Equal([blocks[0]], waited);
        Assert.Equal(3, pool.Count);

        blocks[2].Busy = false;
        Assert.Same(blocks[2], Use(pool));
        Assert.Single(waited);
        Assert.Same(blocks[1], Use(pool));
        Assert.Equal([blocks[0], blocks[1]], waited);
    }

    [Fact]
    public void Blocks_in_use_at_the_same_time_are_different_ones()
    {
        var pool = new BlockPool<Block>(() => new Block(), _ => true, _ => { }, limit: 1);
        var (first, second) = (pool.Rent(), pool.Rent());
        Assert.NotSame(first, second);
        pool.Return(second);
        pool.Return(first);
        Assert.Same(second, pool.Rent());
        Assert.Equal(2, pool.Count);
    }

    [Fact]
    public void A_block_that_cannot_be_created_does_not_count()
    {
        var full = true;
        var pool = new BlockPool<Block>(
            () => full ? throw new InvalidOperationException("full") : new Block(),
            _ => true,
            _ => { },
            1
        );
        Assert.Throws<InvalidOperationException>(() => pool.Rent());
        full = false;
        pool.Return(pool.Rent());
        Assert.Equal(1, pool.Count);
    }

    private static Block Use(BlockPool<Block> pool)
    {
        var block = pool.Rent();
        block.Busy = true;
        pool.Return(block);
        return block;
    }

    private sealed class Block
    {
        public bool Busy { get; set; }
    }
}
