using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>ToolAlpaca: one API an entry, with its functions in words, and many conversations about it.</summary>
/// <remarks>
/// Training entries have <c>Instances</c> (question, steps of call and result, answer). Evaluation entries have
/// <c>Instructions</c> and <c>Golden_Answers</c>: a row is the question and its first call, since later ones hang on
/// results. </remarks>
internal sealed partial class ToolAlpacaShape : RowShape
{
    public override string Name => "toolalpaca";

    public override IEnumerable<Conversation> Convert(JsonElement entry)
    {
        var tools = Tools(entry);
        var instances = OptionalArray(entry, "Instances").ToList();
        var instructions = OptionalArray(entry, "Instructions").ToList();
        var golden = OptionalArray(entry, "Golden_Answers").ToList();
        if (instances.Count > 0)
        {
            return instances.Select(instance => WithTools(tools, "", Instance(instance)));
        }

        return instructions.Count == golden.Count && golden.Count > 0
            ? instructions.Zip(golden, (question, calls) => WithTools(tools, "", Golden(question, calls)))
            : throw new InvalidDataException(
                $"no 'Instances', and {instructions.Count} 'Instructions' but {golden.Count} "
                    + "'Golden_Answers'; expected equal numbers."
            );
    }

    private static IEnumerable<Message> Golden(JsonElement question, JsonElement calls)
    {
        yield return new Message(Role.User, question.GetString()!);
        if (calls.GetArrayLength() > 0)
        {
            yield return Call(Text(calls[0], "Action"), calls[0].GetProperty("Action_Input"));
        }
    }

    private static IEnumerable<Message> Instance(JsonElement instance)
    {
        yield return new Message(Role.User, Text(instance, "input"));
        foreach (var step in OptionalArray(instance, "intermediate_steps"))
        {
            // [[name, arguments, thought], result]
            yield return Call(step[0][0].GetString()!, step[0][1]);
            yield return new Message(
                Role.Observation,
                step[1].ValueKind == JsonValueKind.String ? step[1].GetString()! : step[1].GetRawText()
            );
        }

        yield return new Message(Role.Assistant, Text(instance, "output"));
    }

    private static List<ToolDefinition> Tools(JsonElement entry)
    {
        if (
            !entry.TryGetProperty("Function_Description", out var functions)
            || functions.ValueKind != JsonValueKind.Object
        )
        {
            throw new InvalidDataException(
                "no 'Function_Description'; expected an object that describes each function."
            );
        }

        return
        [
            .. functions
                .EnumerateObject()
                .Where(function => function.Name != "components")
                .Select(function => Tool(function.Name, function.Value.GetString()!)),
        ];
    }

    // "What it does⏎Parameters: {"name": "Required. type. What it is."}⏎Output: …"
    private static ToolDefinition Tool(string name, string text)
    {
        var parts = Description().Match(text);
        var (properties, required) = (new JsonObject(), new JsonArray());
        if (parts.Success)
        {
            foreach (var (parameter, description) in JsonNode.Parse(parts.Groups["parameters"].Value)!.AsObject())
            {
                var words = (string)description!;
                if (words.StartsWith("Required. ", StringComparison.Ordinal))
                {
                    required.Add(parameter);
                    words = words["Required. ".Length..];
                }

                properties.Add(parameter, new JsonObject { ["type"] = Type(words), ["description"] = words.Trim() });
            }
        }

        var function = new JsonObject
        {
            ["name"] = name,
            ["description"] = (parts.Success ? parts.Groups["description"].Value : text).Trim(),
            ["parameters"] = new JsonObject
            {
                ["type"] = "object",
                ["properties"] = properties,
                ["required"] = required,
            },
        };
        return new ToolDefinition("function", name, function.ToJsonString(Tokenization.TokenizerConfig.Writing));
    }

    private static string Type(string words)
    {
        var type = TypeWord().Match(words).Value.ToLowerInvariant();
        return type is "integer" or "number" or "boolean" or "array" or "object" ? type : "string";
    }

    [GeneratedRegex(
        @"^(?<description>.*?)(^|\n)Parameters: (?<parameters>\{.*?\})\s*(\nOutput:|$)",
        RegexOptions.Singleline
    )]
    private static partial Regex Description();

    [GeneratedRegex(@"^\w+")]
    private static partial Regex TypeWord();
}
