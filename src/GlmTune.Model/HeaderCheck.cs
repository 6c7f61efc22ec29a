using System.Globalization;
using System.Text.RegularExpressions;
using GlmTune.Weights;

namespace GlmTune.Model;

/// <summary>Compares a configuration with obvious facts in the headers of the weight files, before a model of its size
/// is created.</summary>
internal static partial class HeaderCheck
{
    /// <summary>Throws if weights and configuration cannot belong together, naming the cause rather than a list of
    /// tensors.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="files">The weights.</param>
    /// <exception cref="InvalidDataException">The weights are quantised, or their number of layers differs from the
    /// configuration.</exception>
    public static void Check(ModelConfig config, WeightFiles files)
    {
        if (
            config.Stored is null
            && files.Tensors.FirstOrDefault(tensor => UnsupportedModel.QuantisationOf(tensor.Name) is not null)
                is { } scale
        )
        {
            throw Quantised(files, $"{UnsupportedModel.QuantisationOf(scale.Name)}: it holds '{scale.Name}'");
        }

        if (
            config.Stored is null
            && files.Tensors.FirstOrDefault(tensor =>
                Layer().IsMatch(tensor.Name)
                && tensor.Type is not (ElementType.F64 or ElementType.F32 or ElementType.F16 or ElementType.BF16)
            )
                is { } packed
        )
        {
            throw Quantised(files, $"'{packed.Name}' is {packed.Type}");
        }

        var layers =
            files
                .Tensors.Select(tensor => Layer().Match(tensor.Name))
                .Where(match => match.Success)
                .Select(match => int.Parse(match.Groups["number"].Value, CultureInfo.InvariantCulture))
                .DefaultIfEmpty(-1)
                .Max() + 1;
        if (layers != config.LayerCount && layers > 0)
        {
            throw new InvalidDataException(
                $"{files.Path}: {ModelConfig.FileName} says that there are {config.LayerCount} layers, but "
                    + $"the weights are of {layers}. Are both from the same "
                    + $"model{(layers < config.LayerCount ? ", and is the download complete" : "")}?"
            );
        }
    }

    private static InvalidDataException Quantised(WeightFiles files, string how) =>
        new(
            $"{files.Path}: the weights are quantised ({how}), but {ModelConfig.FileName} has no "
                + "'quantization_config' that says how. Use the model that this one was made from."
        );

    // Long numbers are not layer numbers.
    [GeneratedRegex(@"^(transformer\.encoder\.layers|model\.layers)\.(?<number>\d{1,6})\.")]
    private static partial Regex Layer();
}
