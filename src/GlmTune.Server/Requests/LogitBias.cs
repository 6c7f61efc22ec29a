using System.Globalization;
using System.Text.Json;

namespace GlmTune.Server;

/// <summary>The field <c>logit_bias</c>: values added to the logits of tokens.</summary>
internal static class LogitBias
{
    private const string Param = "logit_bias";

    /// <summary>Values by token id; null if there are none.</summary>
    /// <param name="given">The field.</param>
    /// <param name="vocabularySize">Exclusive upper bound of token ids.</param>
    /// <param name="limits">The limits.</param>
    /// <param name="problems">Receives problems.</param>
    public static IReadOnlyDictionary<int, double>? Read(
        JsonElement? given,
        int vocabularySize,
        ServerLimits limits,
        FieldProblems problems
    )
    {
        if (given is not { ValueKind: not JsonValueKind.Null } field)
        {
            return null;
        }

        problems.Check(
            field.ValueKind == JsonValueKind.Object,
            Param,
            $"is {RequestBody.Kind(field)}; expected an object of token ids and numbers"
        );
        var biases = new Dictionary<int, double>();
        if (field.ValueKind != JsonValueKind.Object)
        {
            return null;
        }

        var count = field.EnumerateObject().Count();
        if (count > limits.LogitBiases)
        {
            problems.Check(false, Param, $"has {count} tokens; expected at most {limits.LogitBiases}");
            return null;
        }

        foreach (var member in field.EnumerateObject())
        {
            if (
                !int.TryParse(member.Name, NumberStyles.None, CultureInfo.InvariantCulture, out var id)
                || id >= vocabularySize
            )
            {
                problems.Check(
                    false,
                    Param,
                    $"has the key '{Printable.Of(member.Name)}'; expected token ids from 0 to {vocabularySize - 1}"
                );
            }
            else if (
                member.Value.ValueKind == JsonValueKind.Number
                && member.Value.TryGetDouble(out var bias)
                && bias is >= -100 and <= 100
            )
            {
                biases[id] = bias;
            }
            else
            {
                problems.Check(
                    false,
                    Param,
                    $"has {RequestBody.Kind(member.Value)} for token {id}; expected a number from -100 to 100"
                );
            }
        }

        return biases.Count == 0 ? null : biases;
    }
}
