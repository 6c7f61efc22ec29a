using System.Globalization;
using GlmTune.Model.Layers;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Finds weights that are NaN or infinite. A model or adapter with such weights computes NaN logits, usually
/// for every prompt.</summary>
internal static class FiniteWeights
{
    private const int ProblemsShown = 20;

    /// <summary>Checks loaded parameters. Where all are finite, one number per parameter is computed on its
    /// device.</summary>
    /// <param name="parameters">Parameters, loaded.</param>
    /// <param name="storedParts">For each parameter the stored tensors it was read from, with their rows.</param>
    /// <returns>One description per stored tensor with values that are not finite.</returns>
    public static List<string> Find(
        IEnumerable<Parameter> parameters,
        Func<Parameter, IEnumerable<(StoredTensor Stored, long FirstRow, long Rows)>> storedParts
    )
    {
        using var scope = NewDisposeScope();
        List<(Parameter Parameter, Tensor Sum)> sums = [.. parameters.Select(each => (each, Sum(each.Value)))];
        var problems = new List<string>();
        foreach (var (parameter, _) in sums.Where(pair => !float.IsFinite(pair.Sum.item<float>())))
        {
            foreach (var (stored, first, rows) in storedParts(parameter))
            {
                using var inner = NewDisposeScope();
                if (Describe(stored, parameter.Value.narrow(0, first, rows)) is { } problem)
                {
                    problems.Add(problem);
                }
            }
        }

        return problems;
    }

    /// <summary>Describes the values of one tensor that are not finite.</summary>
    /// <param name="stored">The stored tensor.</param>
    /// <param name="loaded">Its values as loaded, possibly in another type.</param>
    /// <returns>The description; null if all values are finite.</returns>
    public static string? Describe(StoredTensor stored, Tensor loaded)
    {
        using var scope = NewDisposeScope();
        var wrong = NotFinite(loaded);
        if (wrong == 0)
        {
            return null;
        }

        var type = loaded.dtype.ToString().ToLowerInvariant();
        var reason =
            NotFinite(StoredTensors.Read(stored)) > 0
                ? "NaN or infinite"
                : $"too large for {type}; use bfloat16 or float32";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Path.GetFileName(stored.File.Path)}: '{stored.Name}': {wrong:N0} of {loaded.numel():N0} values "
                + $"are {reason}."
        );
    }

    /// <summary>Does nothing if there are no problems.</summary>
    /// <exception cref="InvalidDataException">There are: all of them.</exception>
    public static void Throw(string path, List<string> problems)
    {
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{path}: {(problems.Count == 1 ? "a tensor has" : $"{problems.Count} tensors have")} values "
                    + "that are not finite, so the model would compute no answer. Did the training that wrote them "
                    + "diverge, or a conversion to float16 overflow? Use an earlier checkpoint, or convert "
                    + "again.\n  "
                    + string.Join("\n  ", problems.Take(ProblemsShown))
                    + (problems.Count > ProblemsShown ? $"\n  And {problems.Count - ProblemsShown} more." : "")
            );
        }
    }

    // NaN or infinite if any value is. In float16 it may overflow without one, which the exact check then finds. The
    // sum is made in the tensor's own type on a CPU, which would copy the tensor otherwise.
    private static Tensor Sum(Tensor values) =>
        (values.device_type == DeviceType.CUDA ? values.sum(type: ScalarType.Float32) : values.sum()).to_type(
            ScalarType.Float32
        );

    private static long NotFinite(Tensor values) => values.isfinite().logical_not().sum().item<long>();
}
