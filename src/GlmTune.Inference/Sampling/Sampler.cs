using System.Globalization;
using System.Runtime.InteropServices;
using GlmTune.Constraints;
using GlmTune.Data;

namespace GlmTune.Inference;

/// <summary>Selects the tokens of one answer, one after another, from rows of logits.</summary>
/// <remarks>In the order of Hugging Face's library: biases, repetition penalty over prompt and answer (and presence and
/// frequency penalties over the answer), temperature, top-k, top-p, min-p, one random draw. Without sampling, the most
/// likely token; among equals, the lowest id. The result depends only on seed and logits, not on other answers
/// generated concurrently. Not thread-safe.</remarks>
internal sealed class Sampler
{
    private readonly GenerationSettings settings;
    private readonly ScoreRules rules;
    private readonly List<int> tokens;
    private readonly int promptLength;
    private SplitMix64 random;

    /// <summary>How many of the most likely tokens suffice for almost every draw among the first few.</summary>
    internal const int TopCount = 256;

    private readonly record struct Candidate(int Id, float Logit, double Weight);

    /// <summary>Creates a sampler for the answer to one prompt.</summary>
    /// <param name="prompt">Token ids of the prompt.</param>
    /// <param name="options">Generation options; unset values are those of
    /// <see cref="GenerationOptions.Defaults"/>.</param>
    /// <param name="mask">Forbids tokens; null: none.</param>
    /// <param name="stream">Distinguishes answers with the same seed: each has different random numbers.</param>
    /// <exception cref="ArgumentException">Options are out of range.</exception>
    public Sampler(IReadOnlyList<int> prompt, GenerationOptions options, LogitsMask? mask = null, long stream = 0)
        : this(prompt, new GenerationSettings(options, []), mask, stream) { }

    internal Sampler(IReadOnlyList<int> prompt, GenerationSettings settings, LogitsMask? mask, long stream)
    {
        this.settings = settings;
        rules = new ScoreRules(settings, mask);
        tokens = [.. prompt];
        promptLength = prompt.Count;
        random = SplitMix64.Of(settings.Seed ?? Random.Shared.NextInt64(), stream);
    }

    /// <summary>Whether the most likely token according to the model's own logits is the one that will be selected
    /// next.</summary>
    public bool ArgmaxSuffices => settings.Greedy && rules.LeaveUnchanged(tokens.Count - promptLength);

    /// <summary>Whether <see cref="SampleAmong"/> may be tried: the next token is drawn from a few of the most likely
    /// according to the model's own logits.</summary>
    internal bool TopTokensMaySuffice =>
        !settings.Greedy
        && settings.TopK is > 0 and <= TopCount / 2
        && rules.LeaveUnchanged(tokens.Count - promptLength);

    /// <summary>Token ids of the prompt and the answer so far.</summary>
    internal List<int> Tokens => tokens;

    /// <summary>Selects the next token; it becomes part of the answer only when passed to
    /// <see cref="Accept"/>.</summary>
    /// <param name="logits">Logits of every token that may be generated, without padded rows of the vocabulary;
    /// modified by the call.</param>
    /// <exception cref="NoTokenException">Logits are NaN or infinite, or every token is forbidden.</exception>
    public int Sample(Span<float> logits)
    {
        rules.Apply(logits, CollectionsMarshal.AsSpan(tokens), promptLength);
        var best = Argmax(logits);
        return settings.Greedy ? best : Draw(logits, logits[best]);
    }

    /// <summary>Selects the token that <see cref="Sample"/> would select, from the most likely tokens alone.</summary>
    /// <param name="ids">Ids of the most likely tokens, more of them than top-k.</param>
    /// <param name="logits">Their logits, descending.</param>
    /// <returns>Null if further tokens may be as likely as the last of top-k: then nothing was drawn, and all logits
    /// are needed.</returns>
    /// <exception cref="NoTokenException">Logits are NaN or infinite.</exception>
    internal int? SampleAmong(ReadOnlySpan<long> ids, ReadOnlySpan<float> logits)
    {
        _ = Checked(ids[0], logits[0]);
        var least = logits[settings.TopK - 1];
        if (logits[^1] == least)
        {
            return null;
        }

        var candidates = new List<Candidate>(settings.TopK);
        for (var i = 0; i < ids.Length && logits[i] >= least && logits[i] > float.NegativeInfinity; i++)
        {
            candidates.Add(new Candidate((int)ids[i], logits[i], Weight(logits[i], logits[0])));
        }

        candidates.Sort((a, b) => a.Id.CompareTo(b.Id));
        return Draw(candidates);
    }

    /// <summary>The most likely token, after checking that its logit is valid. NaN sorts as the largest value, so
    /// checking one logit is enough.</summary>
    /// <exception cref="NoTokenException">The logit is NaN or infinite; −∞ is the largest only if every token has
    /// it.</exception>
    internal static int Checked(long id, float logit) => float.IsFinite(logit) ? (int)id : throw NotFinite(id, logit);

    /// <summary>Appends a token to the answer.</summary>
    public void Accept(int id) => tokens.Add(id);

    private static int Argmax(ReadOnlySpan<float> scores)
    {
        var best = -1;
        var most = float.NegativeInfinity;
        for (var id = 0; id < scores.Length; id++)
        {
            if (scores[id] > most)
            {
                (best, most) = (id, scores[id]);
            }
            else if (float.IsNaN(scores[id]))
            {
                throw NotFinite(id, scores[id]);
            }
        }

        return best >= 0 ? Checked(best, most) : throw NothingToSample();
    }

    internal static NoTokenException NothingToSample() =>
        new("Every token is forbidden: the constraints on the answer allow no next token.");

    internal static NoTokenException NotFinite(long id, float logit) =>
        new(
            string.Create(
                CultureInfo.InvariantCulture,
                $"The logit of token {id} is {logit}. The weights contain non-finite values, or the range of "
                    + $"their type is too small."
            )
        );

    private double Weight(float logit, float most) => Math.Exp(((double)logit - most) / settings.Temperature);

    private int Draw(ReadOnlySpan<float> logits, float most)
    {
        var least =
            settings.TopK > 0 && settings.TopK < logits.Length
                ? Largest(logits, settings.TopK)
                : float.NegativeInfinity;
        var candidates = new List<Candidate>(
            settings.TopK > 0 ? Math.Min(settings.TopK, logits.Length) : logits.Length
        );
        for (var id = 0; id < logits.Length; id++)
        {
            // Tokens equal to the last one kept are kept too, as in the library.
            if (logits[id] >= least && logits[id] > float.NegativeInfinity)
            {
                candidates.Add(new Candidate(id, logits[id], Weight(logits[id], most)));
            }
        }

        return Draw(candidates);
    }

    // By ascending ids.
    private int Draw(List<Candidate> candidates)
    {
        var total = 0.0;
        foreach (var candidate in candidates)
        {
            total += candidate.Weight;
        }

        if (settings.TopP < 1)
        {
            total = KeepNucleus(candidates, total);
        }

        if (settings.MinP > 0)
        {
            // The most likely token has weight 1.
            candidates.RemoveAll(candidate => candidate.Weight < settings.MinP);
            total = candidates.Sum(candidate => candidate.Weight);
        }

        var left = random.NextUniform() * total;
        foreach (var (id, _, weight) in candidates)
        {
            left -= weight;
            if (left < 0)
            {
                return id;
            }
        }

        return candidates.Last(candidate => candidate.Weight > 0).Id; // Rounding used up the last weight.
    }

    // The smallest set of most likely tokens whose probabilities add up to top-p. Tokens below (1 - p)/n add up to less
    // than 1 - p, so the others reach p without them, and only those need sorting.
    private double KeepNucleus(List<Candidate> candidates, double total)
    {
        var negligible = (1 - settings.TopP) * total / candidates.Count;
        candidates.RemoveAll(candidate => candidate.Weight < negligible);
        candidates.Sort((a, b) => a.Logit != b.Logit ? b.Logit.CompareTo(a.Logit) : a.Id.CompareTo(b.Id));
        var (kept, sum) = (0, 0.0);
        while (kept < candidates.Count && (kept == 0 || sum < settings.TopP * total))
        {
            sum += candidates[kept++].Weight;
        }

        candidates.RemoveRange(kept, candidates.Count - kept);
        return sum;
    }

    private static float Largest(ReadOnlySpan<float> scores, int count)
    {
        var kept = new PriorityQueue<float, float>(count);
        foreach (var score in scores)
        {
            if (kept.Count < count)
            {
                kept.Enqueue(score, score);
            }
            else if (score > kept.Peek())
            {
                kept.EnqueueDequeue(score, score);
            }
        }

        return kept.Peek();
    }
}
