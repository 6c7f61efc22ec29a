using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>The definition of <see cref="LayerKernels.Sample"/>, row by row on the host.</summary>
internal static class RowSampling
{
    /// <inheritdoc cref="LayerKernels.Sample"/>
    public static Tensor Sample(Tensor logits, SamplingTable table, int count, Tensor drawn, Tensor ids)
    {
        using var scope = NewDisposeScope();
        var rows = table.Rows;
        var before = drawn.cpu().data<long>().ToArray();
        var (after, found) = (new long[rows.Length], new double[2 * rows.Length]);
        for (var i = 0; i < rows.Length; i++)
        {
            var scores = logits[rows[i].LogitsRow].narrow(0, 0, count).to_type(ScalarType.Float32).cpu();
            var (id, highest) = Choose(
                scores.contiguous().data<float>().ToArray(),
                rows[i],
                table.EditsOf(rows[i]),
                table.MaskOf(rows[i]),
                rows[i].Pending != 0 ? (int)before[i] : -1
            );
            after[i] = id;
            (found[i], found[rows.Length + i]) = (id, highest);
        }

        drawn.copy_(tensor(after));
        ids.copy_(tensor(Array.ConvertAll(after, id => Math.Max(0, id))));
        return HostValues.ToDevice(found, logits.device).reshape(2, rows.Length).MoveToOuterDisposeScope();
    }

    /// <summary>Chooses the token of one row.</summary>
    /// <param name="scores">Logits of the tokens that may be generated; modified.</param>
    /// <param name="row">Its rules.</param>
    /// <param name="edits">Its edits.</param>
    /// <param name="mask">Its mask; null: all tokens are allowed.</param>
    /// <param name="pending">A token of the answer that the edits do not count; −1: none.</param>
    /// <returns>The token, and the highest score: not finite if there is no choice, and then the token is the one that
    /// has it, or −1.</returns>
    public static (int Id, float Highest) Choose(
        Span<float> scores,
        in SamplingRow row,
        ReadOnlySpan<ScoreEdit> edits,
        uint[]? mask = null,
        int pending = -1
    )
    {
        foreach (var edit in edits)
        {
            if ((uint)edit.Id < (uint)scores.Length)
            {
                var now = edit.Id == pending ? edit.Again : edit;
                scores[edit.Id] = now.Score(scores[edit.Id], row);
            }

            pending = edit.Id == pending ? -1 : pending;
        }

        if ((uint)pending < (uint)scores.Length)
        {
            scores[pending] = new ScoreEdit(pending, 0, 1, 1).Score(scores[pending], row);
        }

        if (mask is not null)
        {
            Apply(mask, scores);
        }

        var (best, highest) = Highest(scores);
        return (row.Scale == 0 || !float.IsFinite(highest) ? best : TokenDraw.Draw(scores, highest, row), highest);
    }

    /// <summary>Sets the scores of tokens that a bit set does not allow to negative infinity.</summary>
    public static void Apply(ReadOnlySpan<uint> allowed, Span<float> scores)
    {
        for (var start = 0; start < scores.Length; start += 32)
        {
            var bits = allowed[start >> 5];
            var block = scores[start..Math.Min(start + 32, scores.Length)];
            if (bits == 0)
            {
                block.Fill(float.NegativeInfinity);
            }
            else if (bits != uint.MaxValue)
            {
                for (var i = 0; i < block.Length; i++)
                {
                    block[i] = (bits >> i & 1) != 0 ? block[i] : float.NegativeInfinity;
                }
            }
        }
    }

    /// <summary>The highest score and its index, the lowest of equals; NaN counts as the highest. Index −1: all are
    /// negative infinity.</summary>
    public static (int Index, float Score) Highest(ReadOnlySpan<float> scores)
    {
        var (best, most) = (-1, float.NegativeInfinity);
        for (var i = 0; i < scores.Length; i++)
        {
            if (scores[i] > most)
            {
                (best, most) = (i, scores[i]);
            }
            else if (float.IsNaN(scores[i]))
            {
                return (i, scores[i]);
            }
        }

        return (best, most);
    }
}
