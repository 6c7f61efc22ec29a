using System.Runtime.InteropServices;

namespace GlmTune.Kernels.Definitions;

/// <summary>How the next token of one row is chosen: a row of the table that <see cref="LayerKernels.Sample"/>
/// takes.</summary>
/// <remarks>Kernels read the same bytes.</remarks>
[StructLayout(LayoutKind.Sequential)]
internal struct SamplingRow()
{
    /// <summary>Size in bytes.</summary>
    public const int Bytes = 64;

    /// <summary>Any 64 bits; see <see cref="TokenDraw"/>.</summary>
    public ulong Random;

    /// <summary>Top-p; 1: off.</summary>
    public double TopP = 1;

    /// <summary>Min-p, as <see cref="TokenDraw.LeastWeight"/>; 0: off.</summary>
    public ulong LeastWeight;

    /// <summary><see cref="TokenDraw.ScaleOf"/> of the temperature; 0: the most likely token, without a
    /// draw.</summary>
    public float Scale;

    /// <summary>Divides positive scores of tokens that were seen, and multiplies others; 1: off.</summary>
    public float RepetitionPenalty = 1;

    /// <summary>Subtracted from the score of tokens in the answer.</summary>
    public float PresencePenalty;

    /// <summary>Subtracted from the score of tokens in the answer, once for each occurrence.</summary>
    public float FrequencyPenalty;

    /// <summary>Top-k; 0: off.</summary>
    public int TopK;

    /// <summary>The row of the logits.</summary>
    public int LogitsRow;

    /// <summary>Index of its first edit.</summary>
    public int FirstEdit;

    /// <summary>Number of its edits.</summary>
    public int EditCount;

    /// <summary>Index of the bit set of tokens that are allowed; −1: all are.</summary>
    public int Mask = -1;

    /// <summary>1: the row's answer has a token that its edits do not count, the one drawn last; otherwise
    /// 0.</summary>
    public int Pending;
}

/// <summary>A token whose score is not simply its logit. In the edits of a row, every token occurs once.</summary>
/// <param name="Id">The token.</param>
/// <param name="Bias">Added to the logit; negative infinity forbids the token.</param>
/// <param name="Count">Occurrences in the answer.</param>
/// <param name="Seen">1: it occurs in prompt or answer; otherwise 0.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct ScoreEdit(int Id, float Bias, int Count, int Seen)
{
    /// <summary>Size in bytes.</summary>
    public const int Bytes = 16;

    /// <summary>The same token once more in the answer.</summary>
    public ScoreEdit Again => this with { Count = Count + 1, Seen = 1 };

    /// <summary>The token's score.</summary>
    /// <param name="logit">Its logit.</param>
    /// <param name="row">The penalties.</param>
    public float Score(float logit, in SamplingRow row)
    {
        var score = logit + Bias;
        if (Seen != 0 && row.RepetitionPenalty != 1)
        {
            score = score < 0 ? score * row.RepetitionPenalty : score / row.RepetitionPenalty;
        }

        if (Count > 0)
        {
            score -= row.PresencePenalty;
            score -= row.FrequencyPenalty * Count;
        }

        return score;
    }
}
