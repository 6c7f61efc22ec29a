using GlmTune.Constraints;
using GlmTune.Kernels.Definitions;

namespace GlmTune.Inference;

/// <summary>Rules that modify a row of logits (in beam search, of log probabilities) before tokens are selected from
/// it.</summary>
/// <remarks>In the order of Hugging Face's library: biases, repetition, n-grams, minimum length. Stateless.</remarks>
internal sealed class ScoreRules(GenerationSettings settings, TokenMask? mask)
{
    /// <summary>Whether all rules are edits of single tokens, as <see cref="ScoreEdits"/> has them, and a
    /// mask.</summary>
    public bool FitTable => settings.NoRepeatNgramSize == 0;

    /// <summary>Whether a mask needs every token of the answer before the next one.</summary>
    public bool HaveMask => mask is not null;

    /// <summary>Whether the scores of the next token stay unchanged.</summary>
    /// <param name="answered">Number of tokens in the answer so far.</param>
    public bool LeaveUnchanged(int answered) =>
        FitTable
        && !HaveMask
        && settings.LogitBias.Length == 0
        && settings.Rules is { RepetitionPenalty: 1, PresencePenalty: 0, FrequencyPenalty: 0 }
        && answered >= settings.MinNewTokens;

    /// <summary>Applies all rules.</summary>
    /// <param name="scores">Scores of every token that may be generated.</param>
    /// <param name="tokens">Token ids of prompt and answer so far; ids beyond <paramref name="scores"/> are
    /// ignored.</param>
    /// <param name="promptLength">Number of these that belong to the prompt.</param>
    /// <param name="edits">The edits of these tokens; null: they are collected.</param>
    public void Apply(Span<float> scores, ReadOnlySpan<int> tokens, int promptLength, ScoreEdits? edits = null)
    {
        var answer = tokens[promptLength..];
        if (edits is null)
        {
            edits = new ScoreEdits(settings, tokens[..promptLength]);
            foreach (var id in answer)
            {
                edits.Add(id);
            }
        }

        foreach (var edit in edits.After())
        {
            if ((uint)edit.Id < (uint)scores.Length)
            {
                scores[edit.Id] = edit.Score(scores[edit.Id], settings.Rules);
            }
        }

        ForbidRepeatedRuns(scores, tokens);
        if (mask is not null)
        {
            RowSampling.Apply(Allowed(answer, scores.Length), scores);
        }
    }

    /// <summary>The tokens that the mask allows next, as a bit set of a vocabulary.</summary>
    /// <param name="answer">Token ids of the answer so far.</param>
    /// <param name="vocabularySize">Tokens that may be generated.</param>
    public uint[] Allowed(ReadOnlySpan<int> answer, int vocabularySize)
    {
        var allowed = new uint[(vocabularySize + 31) / 32];
        mask!(answer, allowed);
        return allowed;
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
            var id = tokens[end];
            if (tokens.Slice(end - size + 1, size - 1).SequenceEqual(tail) && (uint)id < (uint)scores.Length)
            {
                scores[id] = float.NegativeInfinity;
            }
        }
    }
}
