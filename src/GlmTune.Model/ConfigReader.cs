using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Model;

/// <summary>Reads values of one <c>config.json</c> for a family, gathering every problem before it complains.</summary>
/// <param name="path">Of the file, for messages.</param>
/// <param name="json">Its contents.</param>
internal abstract class ConfigReader(string path, JsonObject json)
{
    /// <summary>What is wrong, so far.</summary>
    protected List<string> Problems { get; } = [];

    /// <summary>The file's contents.</summary>
    protected JsonObject Json => json;

    /// <summary>Complains of all problems at once.</summary>
    /// <exception cref="InvalidDataException">There are some.</exception>
    protected void ThrowIfAny()
    {
        if (Problems.Count > 0)
        {
            throw new InvalidDataException($"{path}: {string.Join("\n  ", Problems)}");
        }
    }

    /// <summary>Finds heads that cannot be cut as the numbers say; nothing where there are problems already.</summary>
    protected void CheckHeads(ModelConfig config)
    {
        if (Problems.Count > 0)
        {
            return;
        }

        if (config.QueryHeads % config.KeyValueHeads != 0)
        {
            Problems.Add(
                $"{config.QueryHeads} query heads cannot share {config.KeyValueHeads} key-value heads evenly."
            );
        }

        if (config.Heads.RotaryDim % 2 != 0 || config.Heads.RotaryDim <= 0)
        {
            Problems.Add(
                $"{config.HeadDim} features a head, {config.RotaryShare} of them rotating, is "
                    + $"{config.Heads.RotaryDim}: expected an even number above 0."
            );
        }
    }

    /// <summary>A whole number above 0, under the first of the names that is there; 1 and a problem where none
    /// is.</summary>
    protected int Integer(params string[] names)
    {
        foreach (var name in names)
        {
            if (json[name] is JsonValue value)
            {
                if (
                    value.GetValueKind() == JsonValueKind.Number
                    && value.TryGetValue<int>(out var number)
                    && number > 0
                )
                {
                    return number;
                }

                Problems.Add($"'{name}' is {value.ToJsonString()}; expected a whole number above 0.");
                return 1;
            }
        }

        Problems.Add($"'{names[0]}' is missing.");
        return 1;
    }

    /// <summary>A whole number; null where there is none.</summary>
    protected int? Optional(string name) =>
        json[name] is JsonValue value && value.TryGetValue<int>(out var number) ? number : null;

    /// <summary>A number; without a default it must be there.</summary>
    protected double Number(string name, double? otherwise)
    {
        if (json[name] is JsonValue value)
        {
            if (value.GetValueKind() == JsonValueKind.Number)
            {
                return value.GetValue<double>();
            }

            Problems.Add($"'{name}' is {value.ToJsonString()}; expected a number.");
        }
        else if (otherwise is null)
        {
            Problems.Add($"'{name}' is missing.");
        }

        return otherwise ?? 1;
    }

    /// <summary>A number in a section that may be missing; null where it is not there.</summary>
    protected static double? NumberIn(JsonObject? section, string name) =>
        section?[name] is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            ? value.GetValue<double>()
            : null;

    /// <summary>True or false.</summary>
    protected bool Flag(string name, bool otherwise) =>
        json[name] is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : otherwise;

    /// <summary>A text; null where there is none.</summary>
    protected string? Text(string name) =>
        json[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    /// <summary>A flag that the architecture fixes; where it is missing, it is as expected.</summary>
    protected void Expect(string name, bool expected)
    {
        if (json[name] is JsonValue && Flag(name, expected) != expected)
        {
            Problems.Add(
                $"'{name}' is {json[name]!.ToJsonString()}; this architecture has {(expected ? "true" : "false")}."
            );
        }
    }

    /// <summary>Ids that end an answer: one or a list.</summary>
    protected List<int> EndTokens()
    {
        List<int> ids = [];
        foreach (var node in json["eos_token_id"] is JsonArray list ? [.. list] : (JsonNode?[])[json["eos_token_id"]])
        {
            if (node is JsonValue value && value.TryGetValue<int>(out var id) && id >= 0)
            {
                ids.Add(id);
            }
            else if (node is not null)
            {
                Problems.Add(
                    $"'eos_token_id' is {json["eos_token_id"]!.ToJsonString()}; expected a token id or a list of token "
                        + "ids."
                );
                break;
            }
        }

        return ids;
    }
}
