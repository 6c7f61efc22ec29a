using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Files.Json;

namespace GlmTune.Data.Converting;

/// <summary>ToolAlpaca: each entry is one API, with its functions described in prose and many conversations about
/// it.</summary>
/// <remarks>Training entries have <c>Instances</c> (question, steps of call and result, answer). Evaluation entries
/// have <c>Instructions</c> and <c>Golden_Answers</c>; a row is the question and its first call, because later calls
/// depend on results.</remarks>
internal sealed partial class ToolAlpacaShape : RowShape
{
    public override string Name => "toolalpaca";

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place)
    {
        var tools = Tools(entry);
        var instances = OptionalArray(entry, "Instances").ToList();
        var instructions = OptionalArray(entry, "Instructions").ToList();
        var golden = OptionalArray(entry, "Golden_Answers").ToList();
        if (instances.Count == 0 && (instructions.Count != golden.Count || golden.Count == 0))
        {
            throw new InvalidDataException(
                $"no 'Instances', and {instructions.Count} 'Instructions' with {golden.Count} "
                    + "'Golden_Answers'; expected equal numbers of both."
            );
        }

        var rows = instances.Count > 0 ? instances.Select(Instance) : instructions.Zip(golden, Golden);
        return new ConvertedEntry([.. rows.Select(messages => Row(tools, messages, file, place))]);
    }

    private static ConversationRow Row(JsonArray tools, JsonNode[]? messages, string file, RowPlace place) =>
        messages is null
            ? new ConversationRow(
                place,
                null,
                [new DataProblem(file, place, null, "a step is not [[name, arguments, thought], result].")]
            )
            : ConversationReader.Parse(
                JsonSerializer.SerializeToElement(
                    new JsonObject { ["tools"] = tools.DeepClone(), ["messages"] = new JsonArray(messages) }
                ),
                file,
                place
            );

    private static JsonNode[]? Golden(JsonElement question, JsonElement calls)
    {
        if (question.ValueKind != JsonValueKind.String || calls.ValueKind != JsonValueKind.Array)
        {
            return null;
        }

        return calls.GetArrayLength() == 0
            ? [Message("user", question.GetString()!)]
            :
            [
                Message("user", question.GetString()!),
                Call(
                    Text(calls[0], "Action"),
                    calls[0].TryGetProperty("Action_Input", out var input) ? input : default
                ),
            ];
    }

    private static JsonNode[]? Instance(JsonElement instance)
    {
        List<JsonNode> messages = [Message("user", Text(instance, "input"))];
        foreach (var step in OptionalArray(instance, "intermediate_steps"))
        {
            // [[name, arguments, thought], result]
            if (
                step.ValueKind != JsonValueKind.Array
                || step.GetArrayLength() < 2
                || step[0].ValueKind != JsonValueKind.Array
                || step[0].GetArrayLength() < 2
                || step[0][0].ValueKind != JsonValueKind.String
            )
            {
                return null;
            }

            messages.Add(Call(step[0][0].GetString()!, step[0][1]));
            messages.Add(
                Message(
                    "observation",
                    step[1].ValueKind == JsonValueKind.String ? step[1].GetString()! : step[1].GetRawText()
                )
            );
        }

        messages.Add(Message("assistant", Text(instance, "output")));
        return [.. messages];
    }

    private static JsonObject Call(string name, JsonElement arguments) =>
        new JsonObject
        {
            ["role"] = "assistant",
            ["function_call"] = new JsonObject
            {
                ["name"] = name,
                ["arguments"] =
                    arguments.ValueKind == JsonValueKind.Undefined ? null : JsonSerializer.SerializeToNode(arguments),
            },
        };

    private static JsonArray Tools(JsonElement entry)
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
                .Select(function => Tool(function.Name, Text(functions, function.Name))),
        ];
    }

    // "What it does⏎Parameters: {"name": "Required. type. What it is."}⏎Output: …"
    private static JsonObject Tool(string name, string text)
    {
        var parts = Description().Match(text);
        var (properties, required) = (new JsonObject(), new JsonArray());
        if (parts.Success)
        {
            var described = JsonFile.Parse(
                parts.Groups["parameters"].Value,
                $"the parameters of '{name}'",
                JsonValueKind.Object
            );
            foreach (var member in described.EnumerateObject())
            {
                var (parameter, words) = (member.Name, Text(described, member.Name));
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
        return new JsonObject { ["type"] = "function", ["function"] = function };
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
