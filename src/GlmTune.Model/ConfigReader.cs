using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Model;

/// <summary>Reads the values of a <c>config.json</c> for a model family, collecting all problems before
/// throwing.</summary>
/// <param name="path">Path of the file, for messages.</param>
/// <param name="json">Its contents.</param>
internal abstract class ConfigReader(string path, JsonObject json)
{
    /// <summary>The problems found so far.</summary>
    protected List<string> Problems { get; } = [];

    /// <summary>The contents of the file.</summary>
    protected JsonObject Json => json;

    /// <summary>Throws all problems as one exception.</summary>
    /// <exception cref="InvalidDataException">There is at least one problem.</exception>
    protected void ThrowIfAny()
    {
        if (Problems.Count > 0)
        {
            throw new InvalidDataException($"{path}: {string.Join("\n  ", Problems)}");
        }
    }

    /// <summary>Checks that the heads divide evenly; does nothing if there are already problems.</summary>
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

    /// <summary>A positive whole number under the first of the names that exists; 1 with a problem if none
    /// does.</summary>
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

    /// <summary>A whole number; null if it is missing.</summary>
    protected int? Optional(string name)
    {
        if (json[name] is not { } node)
        {
            return null;
        }

        if (node is JsonValue value && value.TryGetValue<int>(out var number))
        {
            return number;
        }

        Problems.Add($"'{name}' is {node.ToJsonString()}; expected a whole number.");
        return null;
    }

    /// <summary>A number; required if there is no default.</summary>
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

    /// <summary>A number in an optional section; null if it is missing.</summary>
    protected static double? NumberIn(JsonObject? section, string name) =>
        section?[name] is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            ? value.GetValue<double>()
            : null;

    /// <summary>A Boolean.</summary>
    protected bool Flag(string name, bool otherwise) =>
        json[name] is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : otherwise;

    /// <summary>A text; null if it is missing.</summary>
    protected string? Text(string name) =>
        json[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    /// <summary>A flag with a value fixed by the architecture; a missing flag is accepted.</summary>
    protected void Expect(string name, bool expected)
    {
        if (json[name] is JsonValue && Flag(name, expected) != expected)
        {
            Problems.Add(
                $"'{name}' is {json[name]!.ToJsonString()}; this architecture has {(expected ? "true" : "false")}."
            );
        }
    }

    /// <summary>The ids of the tokens that end an answer: a single id or a list.</summary>
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
