using System.Globalization;
using System.Runtime.InteropServices;
using GlmTune.Constraints;

namespace GlmTune.Inference;

/// <summary>Samples the tokens of one answer, one after the other, from rows of logits.</summary>
/// <remarks> In the order of Hugging Face's library: biases, repetition penalty over prompt and answer (and presence
/// and frequency penalties over the answer), temperature, top-k, top-p, min-p, one draw. Without sampling, the
/// likeliest token; of equals the lowest id. What is drawn depends on the seed and the logits alone, not on other
/// answers made beside this one. Not thread-safe. </remarks>
public sealed class Sampler
{
    private readonly GenerationSettings settings;
    private readonly ScoreRules rules;
    private readonly List<int> tokens;
    private readonly int promptLength;
    private ulong randomState;

    /// <summary>How many of the likeliest tokens are enough for almost every draw among the first few.</summary>
    internal const int TopCount = 256;

    private readonly record struct Candidate(int Id, float Logit, double Weight);

    /// <summary>A sampler for the answer to one prompt.</summary>
    /// <param name="prompt">Ids of the prompt.</param>
    /// <param name="options">What they don't say is <see cref="GenerationOptions.Defaults"/>.</param>
    /// <param name="mask">Forbids tokens; null: none.</param>
    /// <param name="stream">Tells answers of one seed apart: each draws other numbers.</param>
    /// <exception cref="ArgumentException">Options are out of range.</exception>
    public Sampler(IReadOnlyList<int> prompt, GenerationOptions options, LogitsMask? mask = null, long stream = 0)
        : this(prompt, new GenerationSettings(options, []), mask, stream) { }

    internal Sampler(IReadOnlyList<int> prompt, GenerationSettings settings, LogitsMask? mask, long stream)
    {
        this.settings = settings;
        rules = new ScoreRules(settings, mask);
        tokens = [.. prompt];
        promptLength = prompt.Count;
        randomState = Mix((ulong)(settings.Seed ?? Random.Shared.NextInt64())) ^ Mix(~(ulong)stream);
    }

    /// <summary>Whether the likeliest token by the model's own logits is the one that will be chosen next.</summary>
    public bool ArgmaxSuffices => settings.Greedy && rules.LeaveUnchanged(tokens.Count - promptLength);

    /// <summary>Whether <see cref="SampleAmong"/> may be tried: the next token is drawn among a few of the likeliest by
    /// the model's own logits.</summary>
    internal bool TopTokensMaySuffice =>
        !settings.Greedy
        && settings.TopK is > 0 and <= TopCount / 2
        && rules.LeaveUnchanged(tokens.Count - promptLength);

    /// <summary>Prompt and answer so far.</summary>
    internal List<int> Tokens => tokens;

    /// <summary>Samples the next token; it counts as answered only once <see cref="Accept"/> gets it.</summary>
    /// <param name="logits">Of every token that may be produced, padded rows of the vocabulary left out; changed by the
    /// call.</param>
    /// <exception cref="NoTokenException">Logits are NaN or infinite, or every token is forbidden.</exception>
    public int Sample(Span<float> logits)
    {
        rules.Apply(logits, CollectionsMarshal.AsSpan(tokens), promptLength);
        var best = Argmax(logits);
        return settings.Greedy ? best : Draw(logits, logits[best]);
    }

    /// <summary>Samples the token that <see cref="Sample"/> would, from the likeliest tokens alone.</summary>
    /// <param name="ids">The likeliest tokens, more than top-k.</param>
    /// <param name="logits">Theirs, descending.</param>
    /// <returns>Null where others may be as likely as the last of top-k: then nothing was drawn, and all logits are
    /// needed.</returns>
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

    /// <summary>The likeliest token, where its logit is one that a model can have: NaN counts as the largest, so that
    /// one is enough to look at.</summary>
    /// <exception cref="NoTokenException">The logit is NaN or infinite; −∞ is the largest where no token has
    /// another.</exception>
    internal static int Checked(long id, float logit) => float.IsFinite(logit) ? (int)id : throw NotFinite(id, logit);

    /// <summary>Adds a token to the answer.</summary>
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
                $"The logit of token {id} is {logit}. The weights contain values that are not finite, or the "
                    + $"range of their type is too small."
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
            // Equals of the last one kept are kept too, as in the library.
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
            // The likeliest token has the weight 1.
            candidates.RemoveAll(candidate => candidate.Weight < settings.MinP);
            total = candidates.Sum(candidate => candidate.Weight);
        }

        var left = NextUniform() * total;
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

    // The smallest set of likeliest tokens whose probabilities reach top-p. Tokens below (1 - p)/n have less than 1 - p
    // together, so the others reach p without them and only those need sorting.
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

    // SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): 53 bits in [0,
    // 1).
    private double NextUniform() => (Mix(randomState += 0x9E3779B97F4A7C15) >> 11) * (1.0 / (1UL << 53));

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
