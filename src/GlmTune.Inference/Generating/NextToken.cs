using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>A row's next token, or why there is none.</summary>
/// <param name="Row">The row.</param>
/// <param name="Token">Its token, unless there is an error.</param>
/// <param name="Error">Why no token could be selected; null: one was.</param>
internal readonly record struct NextToken(GenerationRow Row, GeneratedToken Token, Exception? Error)
{
    /// <summary>Selects the token of a row; null if it could not be determined in this way.</summary>
    public static NextToken? Select(GenerationRow row, Func<GeneratedToken?> sample)
    {
        try
        {
            return sample() is { } token ? new NextToken(row, token, null) : null;
        }
        catch (Exception e)
        {
            return new NextToken(row, default, e);
        }
    }

    /// <summary>The next token of each row. Only the logits that the selection needs are copied to the host: the most
    /// likely token, the most likely few, or all.</summary>
    /// <param name="logits">[n, V], on the device.</param>
    /// <param name="vocabularySize">Tokens that may be produced; the rest of V is padding.</param>
    /// <param name="ready">Rows, each with the index of its logits.</param>
    public static NextToken[] Sample(Tensor logits, int vocabularySize, (int Index, GenerationRow Row)[] ready)
    {
        var producible = logits.narrow(1, 0, vocabularySize);
        var choices = new NextToken[ready.Length];
        if (ready.Length == 0)
        {
            return choices;
        }

        if (Array.Exists(ready, row => row.Row.ArgmaxSuffices))
        {
            var likeliest = producible.argmax(1, keepdim: true);
            var (ids, values) = (likeliest.cpu().data<long>().ToArray(), Values(producible.gather(1, likeliest)));
            SampleEach(
                row => row.ArgmaxSuffices,
                (row, index) => row.Accept(Sampler.Checked(ids[index], values[index]))
            );
        }

        if (vocabularySize > Sampler.TopCount && Array.Exists(ready, row => row.Row.TopTokensMaySuffice))
        {
            var (values, ids) = producible.topk(Sampler.TopCount, 1);
            var (hostValues, hostIds) = (Values(values), ids.cpu().data<long>().ToArray());
            SampleEach(
                row => row.TopTokensMaySuffice,
                (row, index) =>
                    row.SampleAmong(
                        hostIds.AsSpan(index * Sampler.TopCount, Sampler.TopCount),
                        hostValues.AsSpan(index * Sampler.TopCount, Sampler.TopCount)
                    )
            );
        }

        var undecided = ready.Where((_, i) => choices[i].Row is null).ToArray();
        if (undecided.Length > 0)
        {
            var wanted = undecided.Select(row => row.Index).SequenceEqual(Enumerable.Range(0, (int)producible.shape[0]))
                ? producible
                : producible.index_select(
                    0,
                    tensor(Array.ConvertAll(undecided, row => (long)row.Index)).to(logits.device)
                );
            var all = Values(wanted);
            SampleEach(
                _ => true,
                (row, _) =>
                    row.Sample(
                        all.AsSpan(
                            Array.FindIndex(undecided, other => other.Row == row) * vocabularySize,
                            vocabularySize
                        )
                    )
            );
        }

        return choices;

        void SampleEach(Func<GenerationRow, bool> which, Func<GenerationRow, int, GeneratedToken?> sample)
        {
            var wanted = Enumerable
                .Range(0, ready.Length)
                .Where(i => choices[i].Row is null && which(ready[i].Row))
                .ToArray();
            if (wanted.Length == 1)
            {
                SampleOne(wanted[0]);
            }
            else
            {
                Parallel.ForEach(wanted, SampleOne);
            }

            void SampleOne(int i)
            {
                var (index, row) = ready[i];
                choices[i] = Select(row, () => sample(row, index)) ?? default;
            }
        }
    }

    private static float[] Values(Tensor tensor) =>
        tensor.to_type(ScalarType.Float32).cpu().contiguous().data<float>().ToArray();
}
