using GlmTune.Kernels;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>An answer that a beam search found.</summary>
/// <param name="Tokens">Its ids, a stop token included.</param>
/// <param name="Score">Sum of its log probabilities, divided by its length to the power of the length penalty.</param>
internal sealed record Beam(int[] Tokens, double Score);

/// <summary>Keeps the likeliest beginnings of an answer side by side instead of one.</summary>
/// <remarks>
/// Follows Hugging Face's library: of each step's candidates, those among the first <c>num_beams</c> that end with a stop token (or at the
/// length limit) become answers; the search ends when no running beam can beat the worst of as many answers as beams
/// (<c>early_stopping: false</c>), or at once when there are so many (<c>true</c>).
/// </remarks>
internal sealed class BeamSearch(ICausalLm model, int vocabularySize, GenerationSettings settings, ServedAdapter? adapter = null)
{
    private const int FirstRoom = 64;
    private readonly int virtualTokens = model.VirtualTokensOf(adapter);

    private readonly record struct Candidate(int Beam, int Id, float Score);

    private sealed record Running(int[] Tokens, float Score);

    /// <summary>The answers to one prompt, the best first, as many as beams.</summary>
    public IReadOnlyList<Beam> Run(GenerationRequest request, int mostTokens, CancellationToken cancellation)
    {
        var rules = new ScoreRules(settings, request.Mask);
        var prompt = request.Prompt.ToArray();
        var running = new List<Running> { new(prompt, 0) };
        var done = new List<Beam>();
        using var cache = model.NewCache(settings.Beams, prompt.Length + Math.Min(mostTokens, FirstRoom));
        using var decoder = model.NewDecoder(cache, vocabularySize);
        for (var slot = 0; slot < cache.Slots; slot++)
        {
            model.StartSlot(cache, slot, adapter);
        }

        for (var length = 1; ; length++)
        {
            cancellation.ThrowIfCancellationRequested();
            var candidates = Candidates(running, prompt.Length, length == 1, cache, decoder, rules);
            var next = new List<Candidate>();
            foreach (var (rank, candidate) in candidates.Index())
            {
                var ends = length == mostTokens || settings.Stops.Contains(candidate.Id);
                if (!ends)
                {
                    next.Add(candidate);
                }
                else if (rank < settings.Beams)
                {
                    done.Add(new Beam([.. running[candidate.Beam].Tokens[prompt.Length..], candidate.Id], candidate.Score / Math.Pow(length, settings.LengthPenalty)));
                }
            }

            done = [.. done.OrderByDescending(beam => beam.Score).Take(settings.Beams)];
            next = [.. next.Take(settings.Beams)];
            if (next.Count == 0 || IsOver(done, next[0], length))
            {
                return done;
            }

            Reorder(cache, [.. next.Select(candidate => candidate.Beam)], running[0].Tokens.Length);
            MakeRoom(cache, prompt.Length + length);
            running = [.. next.Select(candidate => new Running([.. running[candidate.Beam].Tokens, candidate.Id], candidate.Score))];
        }
    }

    private bool IsOver(List<Beam> done, Candidate best, int length) =>
        done.Count == settings.Beams
        && (settings.EarlyStopping || best.Score / Math.Pow(length, settings.LengthPenalty) <= done[^1].Score);

    // The best continuations over all beams, enough of them that beams remain when every stop token is among them.
    private List<Candidate> Candidates(List<Running> running, int promptLength, bool first, KvCache cache, IDecoder? decoder, ScoreRules rules)
    {
        var scores = LogProbabilities(running, first, cache, decoder);
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

        return [.. best.UnorderedItems.Select(item => item.Element).OrderByDescending(item => item.Score).ThenBy(item => item.Beam).ThenBy(item => item.Id)];
    }

    private float[] LogProbabilities(List<Running> running, bool first, KvCache cache, IDecoder? decoder)
    {
        using var scope = NewDisposeScope();
        if (!first && decoder is { IsUsable: true })
        {
            decoder.Begin([.. running.Select((beam, slot) => new DecodeRow(beam.Tokens[^1], slot, virtualTokens + beam.Tokens.Length - 1, adapter))]);
            return LogProbabilities(decoder.Logits);
        }

        var added = first ? running[0].Tokens.Length : 1;
        var before = virtualTokens + running[0].Tokens.Length - added;
        var step = new CacheStep(
            cache, [.. Enumerable.Range(0, running.Count)], [.. running.Select(_ => before)], [.. running.Select(_ => added)]);
        var ids = running.SelectMany(beam => beam.Tokens[^added..]).ToArray();
        var logits = model.Logits(
            ids, SequenceLayout.OfRows(running.Count, added, model.Device), step, lastOnly: true, [.. running.Select(_ => adapter)]);
        return LogProbabilities(logits);
    }

    private float[] LogProbabilities(Tensor logits) =>
        logits.narrow(1, 0, vocabularySize).to_type(ScalarType.Float32).log_softmax(1).cpu().contiguous().data<float>().ToArray();

    private void MakeRoom(KvCache cache, int tokens)
    {
        if (tokens + virtualTokens > cache.Capacity)
        {
            cache.Rearrange([.. Enumerable.Range(0, cache.Slots)], cache.Capacity + Math.Max(FirstRoom, cache.Capacity / 2));
        }
    }

    // Slot i gets what slot order[i] holds.
    private void Reorder(KvCache cache, int[] order, int tokens)
    {
        if (order.Index().All(slot => slot.Item == slot.Index))
        {
            return;
        }

        using var scope = NewDisposeScope();
        var index = tensor(Array.ConvertAll(order, beam => (long)beam));
        for (var layer = 0; layer < model.Config.LayerCount; layer++)
        {
            using var inner = NewDisposeScope();
            foreach (var stored in (Tensor[])[cache.Keys(layer), cache.Values(layer)])
            {
                var held = stored.narrow(1, virtualTokens, tokens);
                held.narrow(0, 0, order.Length).copy_(held.index_select(0, index.to(stored.device)));
            }
        }
    }
}
