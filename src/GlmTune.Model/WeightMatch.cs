using GlmTune.Model.Prequantized;
using GlmTune.Weights;

namespace GlmTune.Model;

/// <summary>Finds the parameters of a model in its files.</summary>
internal static class WeightMatch
{
    private const int ProblemsShown = 20;

    /// <summary>For every parameter, the first known way of storing it that the files use.</summary>
    /// <param name="model">The model; its weights need not be in memory.</param>
    /// <param name="files">Its files, of which headers are read, and the descriptions of quantized weights.</param>
    /// <exception cref="InvalidDataException">Weights are missing, unexpected or misshapen; the message lists all
    /// problems.</exception>
    public static List<StoredWeight> Find(DecoderModel model, WeightFiles files)
    {
        var matched = new List<StoredWeight>();
        var used = new HashSet<string>();
        var problems = new List<string>();
        foreach (var parameter in model.BaseParameters)
        {
            var ways = model.Names.KnownSlices(parameter).ToList();
            var way = ways.Find(slices => slices.Any(slice => QuantizedTensor.Has(files, slice.Name))) ?? ways[0];
            foreach (var slice in way)
            {
                if (Match(model.Config, files, slice, problems) is { } found)
                {
                    used.UnionWith((found.Quantized?.Stored ?? [found.Plain!]).Select(tensor => tensor.Name));
                    matched.Add(found);
                }
            }
        }

        // Where weights were found to be wrong, what belongs to them would be listed as well.
        foreach (
            var stored in files.Tensors.Where(stored =>
                (problems.Count == 0 || model.Config.Stored is null)
                && !used.Contains(stored.Name)
                && !model.Names.IsSpare(stored.Name)
            )
        )
        {
            problems.Add(
                $"{Path.GetFileName(stored.File.Path)}: '{stored.Name}' [{string.Join(", ", stored.Shape)}] belongs to "
                    + "no layer of the model."
            );
        }

        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{files.Path}: the weights do not match {ModelConfig.FileName} ({problems.Count} problems). Are both "
                    + "from the same model?\n  "
                    + string.Join("\n  ", problems.Take(ProblemsShown))
                    + (problems.Count > ProblemsShown ? $"\n  And {problems.Count - ProblemsShown} more." : "")
            );
        }

        return matched;
    }

    private static StoredWeight? Match(ModelConfig config, WeightFiles files, WeightSlice slice, List<string> problems)
    {
        if (config.Stored is { } quantization)
        {
            var before = problems.Count;
            var quantized = QuantizedTensor.FindAny(files, slice, quantization, problems);
            if (quantized is not null || problems.Count > before)
            {
                return quantized is null ? null : new StoredWeight(slice, null, quantized);
            }
        }

        if (files.Find(slice.Name) is not { } stored)
        {
            problems.Add($"'{slice.Name}' [{string.Join(", ", slice.Shape)}] is missing.");
            return null;
        }

        if (!stored.Shape.SequenceEqual(slice.Shape))
        {
            problems.Add(
                $"{Path.GetFileName(stored.File.Path)}: '{slice.Name}' is [{string.Join(", ", stored.Shape)}] "
                    + "in the file but "
                    + $"[{string.Join(", ", slice.Shape)}] in the model described by {ModelConfig.FileName}."
            );
            // Found, though wrong: it is not reported as one too many.
        }

        return new StoredWeight(slice, stored, null);
    }
}
