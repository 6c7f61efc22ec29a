using System.Buffers;
using GlmTune.Constraints;

namespace GlmTune.Inference;

/// <summary>Rules that modify a row of logits (in beam search, of log probabilities) before tokens are selected from
/// it.</summary>
/// <remarks>In the order of Hugging Face's library: biases, repetition, n-grams, minimum length. Stateless.</remarks>
internal sealed class ScoreRules(GenerationSettings settings, LogitsMask? mask)
{
    /// <summary>Whether the scores of the next token stay unchanged.</summary>
    /// <param name="answered">Number of tokens in the answer so far.</param>
    public bool LeaveUnchanged(int answered) =>
        mask is null
        && settings.LogitBias.Length == 0
        && settings.RepetitionPenalty == 1
        && settings.PresencePenalty == 0
        && settings.FrequencyPenalty == 0
        && settings.NoRepeatNgramSize == 0
        && answered >= settings.MinNewTokens;

    /// <summary>Applies all rules.</summary>
    /// <param name="scores">Scores of every token that may be generated.</param>
    /// <param name="tokens">Token ids of prompt and answer so far; ids beyond <paramref name="scores"/> are
    /// ignored.</param>
    /// <param name="promptLength">Number of these that belong to the prompt.</param>
    public void Apply(Span<float> scores, ReadOnlySpan<int> tokens, int promptLength)
    {
        var answer = tokens[promptLength..];
        foreach (var (id, bias) in settings.LogitBias)
        {
            if ((uint)id < (uint)scores.Length)
            {
                scores[id] += bias;
            }
        }

        if (settings.RepetitionPenalty != 1)
        {
            var penalty = settings.RepetitionPenalty;
            ForEachDistinct(
                scores,
                tokens,
                (scores, id) => scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty
            );
        }

        if (settings.PresencePenalty != 0)
        {
            var penalty = settings.PresencePenalty;
            ForEachDistinct(scores, answer, (scores, id) => scores[id] -= penalty);
        }

        if (settings.FrequencyPenalty != 0)
        {
            foreach (var id in answer)
            {
                scores[id] -= settings.FrequencyPenalty;
            }
        }

        ForbidRepeatedRuns(scores, tokens);
        if (answer.Length < settings.MinNewTokens)
        {
            foreach (var stop in settings.Stops)
            {
                Forbid(scores, stop);
            }
        }

        mask?.Invoke(answer, scores);
    }

    private static void ForEachDistinct(Span<float> scores, ReadOnlySpan<int> tokens, Action<Span<float>, int> change)
    {
        var words = (scores.Length + 63) / 64;
        var seen = ArrayPool<ulong>.Shared.Rent(words);
        seen.AsSpan(0, words).Clear();
        foreach (var id in tokens)
        {
            if ((uint)id < (uint)scores.Length && (seen[id >> 6] & (1UL << (id & 63))) == 0)
            {
                seen[id >> 6] |= 1UL << (id & 63);
                change(scores, id);
            }
        }

        ArrayPool<ulong>.Shared.Return(seen);
    }

    // A token is forbidden if it would complete an n-gram that already occurs.
    private void ForbidRepeatedRuns(Span<float> scores, ReadOnlySpan<int> tokens)
    {
        var size = settings.NoRepeatNgramSize;
        if (size == 0 || tokens.Length < size)
        {
            return;
        }

        var tail = tokens[^(size - 1)..];
        for (var end = size - 1; end < tokens.Length; end++)
        {
            if (tokens.Slice(end - size + 1, size - 1).SequenceEqual(tail))
            {
                Forbid(scores, tokens[end]);
            }
        }
    }

    private static void Forbid(Span<float> scores, int id)
    {
        if ((uint)id < (uint)scores.Length)
        {
            scores[id] = float.NegativeInfinity;
        }
    }
}
