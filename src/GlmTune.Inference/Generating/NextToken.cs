using GlmTune.Kernels.Definitions;
using GlmTune.Model;
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

    /// <summary>The next token of each row. Logits are copied to the host only for rows that need them there.</summary>
    /// <param name="logits">[n, V], on the device.</param>
    /// <param name="vocabularySize">Tokens that may be produced; the rest of V is padding.</param>
    /// <param name="ready">Rows, each with the index of its logits.</param>
    /// <param name="kernels">Functions of the device.</param>
    public static NextToken[] Sample(
        Tensor logits,
        int vocabularySize,
        (int Index, GenerationRow Row)[] ready,
        LayerKernels kernels
    )
    {
        var choices = new NextToken[ready.Length];
        var masks = Masks(ready, vocabularySize, choices);
        var table = new SamplingTable();
        var (onDevice, onHost) = (new List<int>(), new List<int>());
        foreach (var (i, (index, row)) in ready.Index())
        {
            if (choices[i].Error is not null)
            {
                continue;
            }

            (row.FitsTable ? onDevice : onHost).Add(i);
            if (row.FitsTable)
            {
                row.Sampler.AddTo(table, index, pending: false, masks[i]);
            }
        }

        if (onDevice.Count > 0)
        {
            using var tokens = zeros(onDevice.Count, ScalarType.Int64, logits.device);
            using var chosen = kernels.Sample(logits, table, vocabularySize, tokens, tokens);
            var found = chosen.cpu().data<double>().ToArray();
            foreach (var (place, i) in onDevice.Index())
            {
                var token = new ChosenToken((int)found[place], (float)found[onDevice.Count + place]);
                choices[i] = Select(ready[i].Row, () => ready[i].Row.Take(token))!.Value;
            }
        }

        if (onHost.Count > 0)
        {
            var wanted = tensor(onHost.ConvertAll(i => (long)ready[i].Index).ToArray()).to(logits.device);
            var all = Values(logits.narrow(1, 0, vocabularySize).index_select(0, wanted));
            Parallel.ForEach(
                onHost.Index(),
                each =>
                {
                    var (place, i) = each;
                    var row = ready[i].Row;
                    choices[i] = Select(
                        row,
                        () => row.Sample(all.AsSpan(place * vocabularySize, vocabularySize))
                    )!.Value;
                }
            );
        }

        return choices;
    }

    // Masks of the rows that need one on the device. A grammar may turn out to be too large only now.
    private static uint[]?[] Masks((int Index, GenerationRow Row)[] ready, int vocabularySize, NextToken[] choices)
    {
        var masks = new uint[]?[ready.Length];
        var wanted = Enumerable
            .Range(0, ready.Length)
            .Where(i => ready[i].Row is { FitsTable: true, Sampler.HasMask: true })
            .ToArray();
        if (wanted.Length == 1)
        {
            MakeOne(wanted[0]);
        }
        else if (wanted.Length > 1)
        {
            Parallel.ForEach(wanted, MakeOne);
        }

        return masks;

        void MakeOne(int i)
        {
            try
            {
                masks[i] = ready[i].Row.Sampler.Allowed(vocabularySize);
            }
            catch (Exception e)
            {
                choices[i] = new NextToken(ready[i].Row, default, e);
            }
        }
    }

    private static float[] Values(Tensor tensor) =>
        tensor.to_type(ScalarType.Float32).cpu().contiguous().data<float>().ToArray();
}
