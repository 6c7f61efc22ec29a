namespace GlmTune.Inference.Tests.Generating;

public sealed class BlockStoreTests
{
    [Fact]
    public void Known_blocks_are_found_by_what_comes_before_and_by_their_tokens()
    {
        var store = Store(8);
        var (chain, other) = (store.NewChain(), store.NewChain());
        int[] tokens = [.. Enumerable.Range(0, 16)];
        var first = store.Take();
        var next = store.Record(first, chain, tokens);
        Assert.True(store.TryFind(chain, [.. tokens], out var found, out var ends));
        Assert.Equal((first, next), (found, ends));
        Assert.False(store.TryFind(other, tokens, out _, out _));
        Assert.False(store.TryFind(next, tokens, out _, out _));
        Assert.False(store.TryFind(chain, [.. tokens[..15], 99], out _, out _));

        // Another row that computed the same stays on the same chain, with a block of its own.
        var same = store.Take();
        Assert.Equal(next, store.Record(same, chain, [.. tokens]));
        store.Release(same);
        Assert.Equal((1, 6), (store.Used, store.Free));
    }

    [Fact]
    public void Unused_blocks_stay_known_until_their_memory_is_needed_and_the_least_recently_used_goes_first()
    {
        var store = Store(4);
        var chain = store.NewChain();
        var taken = Enumerable.Range(0, 3).Select(_ => store.Take()).ToList();
        foreach (var (i, block) in taken.Index())
        {
            store.Record(block, chain, [i]);
        }

        taken.ForEach(store.Release);
        Assert.Equal((0, 0, 3), (store.Used, store.Free, store.Available));
        Assert.True(store.TryFind(chain, [0], out var first, out _));
        store.Share(first); // Now the second is the oldest.
        store.Release(first);
        store.Take();
        Assert.False(store.TryFind(chain, [1], out _, out _));
        Assert.True(store.TryFind(chain, [0], out _, out _));
        store.Take();
        store.Take();
        Assert.Equal(0, store.Available);
        Assert.Throws<InvalidOperationException>(() => store.Take());
        store.Grow(5);
        Assert.Equal(4, store.Take());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void No_block_is_given_out_twice_and_none_is_lost(bool keeps)
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var store = new BlockStore(keeps);
            store.Grow(30);
            var users = new List<int>();
            var chains = new List<long> { store.NewChain() };
            for (var step = 0; step < 2000; step++)
            {
                var chain = chains[random.Next(chains.Count)];
                int[] tokens = [random.Next(3)];
                switch (random.Next(4))
                {
                    case 0 when store.Available > 0:
                        var block = store.Take();
                        Assert.DoesNotContain(block, users);
                        users.Add(block);
                        chains.Add(store.Record(block, chain, tokens));
                        break;
                    case 1 when store.TryFind(chain, tokens, out var known, out var next):
                        store.Share(known);
                        users.Add(known);
                        chains.Add(next);
                        break;
                    case 2 or 3 when users.Count > 0:
                        var gone = random.Next(users.Count);
                        store.Release(users[gone]);
                        users.RemoveAt(gone);
                        break;
                    default:
                        break;
                }

                Assert.Equal(users.Distinct().Count(), store.Used);
                Assert.Equal(29 - store.Used, store.Available);
            }

            users.ForEach(store.Release);
            Assert.Equal((0, 29), (store.Used, store.Available));
            Assert.True(keeps || store.Free == 29);
        }
    }

    private static BlockStore Store(int count)
    {
        var store = new BlockStore(keeps: true);
        store.Grow(count);
        return store;
    }
}
