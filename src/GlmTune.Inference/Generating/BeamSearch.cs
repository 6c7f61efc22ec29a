using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>An answer found by beam search.</summary>
/// <param name="Tokens">Its token ids, including a stop token.</param>
/// <param name="Score">Sum of its log probabilities, divided by its length to the power of the length penalty.</param>
internal sealed record Beam(int[] Tokens, double Score);

/// <summary>Keeps several most likely partial answers instead of one.</summary>
/// <remarks>Follows Hugging Face's library: of each step's candidates, those among the first <c>num_beams</c> that end
/// with a stop token (or at the length limit) become answers. The search ends when no running beam can beat the worst
/// of <c>num_beams</c> answers (<c>early_stopping: false</c>), or as soon as there are that many (<c>true</c>). Not
/// thread-safe.</remarks>
internal sealed class BeamSearch : IDisposable
{
    private const int FirstRoom = 64;
    private readonly ICausalLm model;
    private readonly int vocabularySize;
    private readonly GenerationRow row;
    private readonly GenerationSettings settings;
    private readonly ServedAdapter? adapter;
    private readonly ScoreRules rules;
    private readonly int virtualTokens;
    private readonly int promptLength;
    private List<Running> running;
    private List<Beam> done = [];
    private readonly BlockStore store = new(keeps: false);
    private List<int>[] tables = []; // The blocks of each beam.
    private KvCache? cache;
    private IDecoder? decoder;
    private int length;

    /// <param name="model">The model; nobody else may use it during <see cref="Advance"/>.</param>
    /// <param name="vocabularySize">Exclusive upper bound of the ids that may be generated.</param>
    /// <param name="row">The prompt and its options; not modified.</param>
    public BeamSearch(ICausalLm model, int vocabularySize, GenerationRow row)
    {
        (this.model, this.vocabularySize, this.row, settings, adapter) = (
            model,
            vocabularySize,
            row,
            row.Settings,
            row.Adapter
        );
        rules = new ScoreRules(settings, row.Request.Mask);
        (virtualTokens, promptLength) = (model.VirtualTokensOf(adapter), row.Request.Prompt.Count);
        running = [new([.. row.Request.Prompt], 0)];
    }

    private readonly record struct Candidate(int Beam, int Id, float Score);

    private sealed record Running(int[] Tokens, float Score);

    /// <summary>Advances the search by one token: one forward pass.</summary>
    /// <returns>When the search is over, the answers, best first, as many as there are beams; otherwise null.</returns>
    /// <exception cref="InvalidOperationException">Its adapter was unloaded, logits are NaN, or every token is
    /// forbidden.</exception>
    public IReadOnlyList<Beam>? Advance()
    {
        if (adapter is { IsLoaded: false })
        {
            throw new InvalidOperationException($"The adapter '{adapter.Name}' was unloaded during generation.");
        }

        if (cache is null)
        {
            Start();
        }

        length++;
        var next = new List<Candidate>();
        foreach (var (rank, candidate) in Candidates().Index())
        {
            var ends = length == row.MaxTokens || settings.Stops.Contains(candidate.Id);
            if (!ends)
            {
                next.Add(candidate);
            }
            else if (rank < settings.Beams)
            {
                done.Add(
                    new Beam(
                        [.. running[candidate.Beam].Tokens[promptLength..], candidate.Id],
                        candidate.Score / Math.Pow(length, settings.LengthPenalty)
                    )
                );
            }
        }

        done = [.. done.OrderByDescending(beam => beam.Score).Take(settings.Beams)];
        next = [.. next.Take(settings.Beams)];
        if (next.Count == 0 || IsOver(next[0]))
        {
            return done.Count > 0 ? done : throw Sampler.NothingToSample();
        }

        Reorder([.. next.Select(candidate => candidate.Beam)], running[0].Tokens.Length);
        MakeRoom(promptLength + length);
        running =
        [
            .. next.Select(candidate => new Running(
                [.. running[candidate.Beam].Tokens, candidate.Id],
                candidate.Score
            )),
        ];
        return null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        decoder?.Dispose();
        cache?.Dispose();
    }

    private void Start()
    {
        var tokens = virtualTokens + promptLength + Math.Min(row.MaxTokens, FirstRoom);
        var blocks = 1 + CachedBlocks.For(tokens) + (settings.Beams * (1 + CachedBlocks.For(FirstRoom)));
        cache = model.NewCache(blocks, settings.Beams, tokens);
        store.Grow(blocks);
        tables = [.. Enumerable.Range(0, settings.Beams).Select(_ => new List<int>())];
        for (var left = CachedBlocks.For(virtualTokens + promptLength); left > 0; left--)
        {
            tables[0].Add(store.Take());
        }

        SetTables();
        model.WritePrefix(cache, tables[0], adapter);
        decoder = model.NewDecoder(cache, vocabularySize);
    }

    private bool IsOver(Candidate best) =>
        done.Count == settings.Beams
        && (settings.EarlyStopping || best.Score / Math.Pow(length, settings.LengthPenalty) <= done[^1].Score);

    // The best continuations over all beams; enough that beams remain even if every stop token is among them.
    private List<Candidate> Candidates()
    {
        var scores = LogProbabilities(first: length == 1);
        var best = new PriorityQueue<Candidate, float>();
        var count = Math.Max(2, 1 + settings.Stops.Count) * settings.Beams;
        for (var beam = 0; beam < running.Count; beam++)
        {
            var row = scores.AsSpan(beam * vocabularySize, vocabularySize);
            rules.Apply(row, running[beam].Tokens, promptLength);
            for (var id = 0; id < row.Length; id++)
            {
                var score = row[id] + running[beam].Score;
                if (float.IsNegativeInfinity(score))
                {
                    continue;
                }

                if (float.IsNaN(score))
                {
                    throw Sampler.NotFinite(id, score);
                }

                if (best.Count < count)
                {
                    best.Enqueue(new Candidate(beam, id, score), score);
                }
                else if (score > best.Peek().Score)
                {
                    best.EnqueueDequeue(new Candidate(beam, id, score), score);
                }
            }
        }

        return
        [
            .. best
                .UnorderedItems.Select(item => item.Element)
                .OrderByDescending(item => item.Score)
                .ThenBy(item => item.Beam)
                .ThenBy(item => item.Id),
        ];
    }

    private float[] LogProbabilities(bool first)
    {
        using var scope = NewDisposeScope();
        if (!first && decoder is { IsUsable: true })
        {
            decoder.Begin([
                .. running.Select(
                    (beam, slot) =>
                        new DecodeRow(beam.Tokens[^1], slot, virtualTokens + beam.Tokens.Length - 1, adapter)
                ),
            ]);
            return LogProbabilities(decoder.Logits);
        }

        var added = first ? running[0].Tokens.Length : 1;
        var before = virtualTokens + running[0].Tokens.Length - added;
        var step = new CacheStep(
            cache!,
            [.. Enumerable.Range(0, running.Count)],
            [.. running.Select(_ => before)],
            [.. running.Select(_ => added)]
        );
        var ids = running.SelectMany(beam => beam.Tokens[^added..]).ToArray();
        var logits = model.Logits(
            ids,
            SequenceLayout.OfRows(running.Count, added, model.Device),
            step,
            lastOnly: true,
            [.. running.Select(_ => adapter)]
        );
        return LogProbabilities(logits);
    }

    private float[] LogProbabilities(Tensor logits) =>
        logits
            .narrow(1, 0, vocabularySize)
            .to_type(ScalarType.Float32)
            .log_softmax(1)
            .cpu()
            .contiguous()
            .data<float>()
            .ToArray();

    // Room for each beam's next token.
    private void MakeRoom(int tokens)
    {
        var needed = CachedBlocks.For(tokens + virtualTokens);
        if (needed * CachedBlocks.Tokens > cache!.Capacity)
        {
            cache.Resize(cache.Blocks, cache.Slots, cache.Capacity + Math.Max(FirstRoom, cache.Capacity / 2));
        }

        foreach (var table in tables.Where(table => table.Count > 0))
        {
            while (table.Count < needed)
            {
                table.Add(Take());
            }
        }

        SetTables();
    }

    // Beam i takes over the tokens of beam order[i]: blocks are shared, and a block that is not full is copied for all
    // but one, because each will write to it.
    private void Reorder(int[] order, int tokens)
    {
        if (
            order.Index().All(slot => slot.Item == slot.Index)
            && tables.Count(table => table.Count > 0) == order.Length
        )
        {
            return;
        }

        var next = Array.ConvertAll(order, beam => tables[beam].ToList());
        foreach (var block in next.SelectMany(table => table))
        {
            store.Share(block);
        }

        foreach (var block in tables.SelectMany(table => table))
        {
            store.Release(block);
        }

        List<(int From, int To)> copies = [];
        var full = (virtualTokens + tokens) / CachedBlocks.Tokens;
        foreach (var table in next)
        {
            for (var index = full; index < table.Count; index++)
            {
                if (store.UsersOf(table[index]) > 1)
                {
                    var own = Take();
                    copies.Add((table[index], own));
                    store.Release(table[index]);
                    table[index] = own;
                }
            }
        }

        tables = [.. next, .. Enumerable.Range(0, settings.Beams - next.Length).Select(_ => new List<int>())];
        SetTables();
        cache!.Copy(copies);
    }

    private int Take()
    {
        if (store.Available == 0)
        {
            cache!.Resize(2 * cache.Blocks, cache.Slots, cache.Capacity);
            store.Grow(cache.Blocks);
        }

        return store.Take();
    }

    private void SetTables()
    {
        foreach (var (slot, table) in tables.Index())
        {
            foreach (var (index, block) in table.Index())
            {
                cache!.SetBlock(slot, index, block);
            }
        }
    }
}
