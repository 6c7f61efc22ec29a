using System.Runtime.CompilerServices;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests;

/// <summary>A model whose logits are a function of the tokens so far. What came before is read back from the cache,
/// where a row that was put into a wrong slot or place would be seen.</summary>
internal sealed class FakeLm(int vocabularySize, Func<int[], float[]> logits) : ICausalLm
{
    public ModelConfig Config { get; } =
        new Glm4Config
        {
            Layout = CheckpointLayout.Library,
            LayerCount = 1,
            HiddenSize = 1,
            FeedForwardSize = 1,
            QueryHeads = 1,
            KeyValueHeads = 1,
            HeadDim = 1,
            VocabularySize = vocabularySize,
            NormEpsilon = 1e-5,
            RotaryBase = 10000,
            MaxPositions = 4096,
            EndTokenIds = [0],
        };

    public Device Device => CPU;

    public int VirtualTokens { get; init; }

    /// <summary>Whether passes of one token a row go through a decoder, of which the next may be queued before the last
    /// one's tokens are known.</summary>
    public bool Decodes { get; init; }

    /// <summary>Passes that were queued so.</summary>
    public int QueuedAhead { get; private set; }

    /// <summary>Sequences of each pass.</summary>
    public List<int> PassSizes { get; } = [];

    /// <summary>New tokens of each pass.</summary>
    public List<int> PassTokens { get; } = [];

    /// <summary>Tokens for which the largest cache so far had blocks.</summary>
    public int LargestCache { get; private set; }

    /// <summary>Answers the token that <paramref name="next"/> gives, without doubt.</summary>
    public static FakeLm Sure(int vocabularySize, Func<int[], int> next, int virtualTokens = 0, bool decodes = false) =>
        new(
            vocabularySize,
            history =>
            {
                var logits = new float[vocabularySize];
                logits[next(history)] = 10;
                return logits;
            }
        )
        {
            VirtualTokens = virtualTokens,
            Decodes = decodes,
        };

    public KvCache NewCache(int blocks, int slots, int capacity) =>
        new([CPU], blocks, slots, capacity, 1, 1, ScalarType.Float32);

    public void WritePrefix(KvCache cache, IReadOnlyList<int> blocks, ServedAdapter? adapter)
    {
        using var prefix = TensorCreation.Full([2, VirtualTokens, 1, 1], -1);
        if (VirtualTokens > 0)
        {
            cache.WriteStart(0, blocks, prefix);
        }
    }

    public Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        Assert.True(lastOnly);
        using var scope = NewDisposeScope();
        var ids = tensor(Array.ConvertAll(tokenIds, id => (float)id)).view(-1, 1);
        cache!.Store(0, ids, ids);
        PassSizes.Add(sequences.Count);
        PassTokens.Add(tokenIds.Length);
        LargestCache = Math.Max(LargestCache, (cache.Cache.Blocks - 1) * CachedBlocks.Tokens);
        var rows = new List<Tensor>();
        for (var i = 0; i < sequences.Count; i++)
        {
            var length = cache.Lengths[i].item<long>();
            var held = cache
                .Cache.ReadStart(0, (int)cache.Slots[i].item<long>(), (int)length)[0]
                .contiguous()
                .data<float>()
                .ToArray();
            Assert.All(held.Take(VirtualTokens), value => Assert.Equal(-1, value));
            rows.Add(tensor(logits([.. held.Skip(VirtualTokens).Select(value => (int)value)])));
        }

        sequences.Dispose();
        cache.Dispose();
        return stack(rows).MoveToOuterDisposeScope();
    }

    public IDecoder? NewDecoder(KvCache cache, int vocabularySize) =>
        Decodes ? new Decoder(this, cache, vocabularySize) : null;

    /// <summary>Log probabilities of the next token.</summary>
    public float[] LogProbabilities(int[] history)
    {
        using var scope = NewDisposeScope();
        return tensor(logits(history)).log_softmax(0).data<float>().ToArray();
    }

    public double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        PassSizes.Add(sequences.Count);
        var sum = targets
            .Rows.data<long>()
            .Zip(
                targets.Targets.data<long>(),
                (row, target) =>
                {
                    var start = sequences.Starts.Last(start => start <= row);
                    return -(double)LogProbabilities(tokenIds[start..((int)row + 1)])[target];
                }
            )
            .Sum();
        sequences.Dispose();
        return sum;
    }

    private sealed class Decoder(FakeLm model, KvCache cache, int vocabularySize) : IDecoder
    {
        private readonly PlainKernels kernels = new();
        private readonly Queue<ChosenToken[]> asked = new();
        private DecodeRow[] rows = [];
        private Tensor? logits;

        public bool IsUsable => true;

        public bool CanAdvance => logits is not null && rows.All(row => row.Before + 1 < cache.Capacity);

        public Tensor Logits => logits!;

        public void Begin(ReadOnlySpan<DecodeRow> rows, SamplingTable? table)
        {
            this.rows = rows.ToArray();
            asked.Clear();
            Run(table);
        }

        public void Advance(SamplingTable? table)
        {
            Assert.True(CanAdvance);
            model.QueuedAhead++;
            rows = [.. rows.Zip(asked.Last(), (row, token) => row with { Id = token.Id, Before = row.Before + 1 })];
            Run(table);
        }

        public ChosenToken[] Tokens() => asked.Dequeue();

        public void Dispose() => logits?.Dispose();

        private void Run(SamplingTable? table)
        {
            using var scope = NewDisposeScope();
            var step = new CacheStep(
                cache,
                [.. rows.Select(row => row.Slot)],
                [.. rows.Select(row => row.Before)],
                [.. rows.Select(_ => 1)]
            );
            var ids = Array.ConvertAll(rows, row => row.Id);
            var made = model.Logits(ids, SequenceLayout.OfRows(rows.Length, 1, CPU), step, lastOnly: true);
            var last = tensor(
                asked.Count > 0 ? Array.ConvertAll(asked.Last(), token => (long)token.Id) : new long[rows.Length]
            );
            var chosen = table is null
                ? kernels.ArgMax(made, vocabularySize)
                : kernels.Sample(made, table, vocabularySize, last, last);
            var (count, found) = (rows.Length, chosen.data<double>().ToArray());
            asked.Enqueue([
                .. Enumerable.Range(0, count).Select(i => new ChosenToken((int)found[i], (float)found[count + i])),
            ]);
            logits?.Dispose();
            logits = made.DetachFromDisposeScope();
        }
    }
}
