using System.Text.Json.Nodes;
using GlmTune.Data.Templates;

namespace GlmTune.SampleData.Tools;

/// <summary>One use of a tool: what the user asks, the call's arguments, what comes back, and the answer made from
/// it.</summary>
internal sealed record ToolUse(string Question, JsonObject Arguments, JsonObject Result, string Answer)
{
    /// <summary>The arguments on one line: the content of a call in GLM-4's own style.</summary>
    public string ArgumentsText => OneLine(Arguments);

    /// <summary>The result on one line: the content of an observation.</summary>
    public string ResultText => OneLine(Result);

    /// <summary>The call on one line, {"name": …, "arguments": …}: the content of a call in the other style.</summary>
    public string CallText(string name) =>
        OneLine(new JsonObject { ["name"] = name, ["arguments"] = Arguments.DeepClone() });

    private static string OneLine(JsonObject json) => PythonJson.Rewrite(json.ToJsonString(), indent: null);
}

/// <summary>A parameter of a tool. <paramref name="Type"/> is JSON Schema's; <paramref name="Choices"/> lists the
/// values allowed, null for any.</summary>
internal sealed record ToolParameter(
    string Name,
    string Type,
    string Description,
    string[]? Choices = null,
    bool Required = true
);

/// <summary>A tool that we made up, and a way to draw uses of it.</summary>
internal sealed record Tool(
    string Name,
    string Description,
    ToolParameter[] Parameters,
    Func<SeededRandom, ToolUse> Draw
)
{
    /// <summary>The definition as a system message's tools list holds it: {"type": "function", "function":
    /// {…}}.</summary>
    public JsonObject Definition
    {
        get
        {
            var properties = new JsonObject();
            foreach (var parameter in Parameters)
            {
                var property = new JsonObject { ["type"] = parameter.Type, ["description"] = parameter.Description };
                if (parameter.Choices is not null)
                {
                    property["enum"] = new JsonArray([.. parameter.Choices.Select(choice => JsonValue.Create(choice))]);
                }

                properties[parameter.Name] = property;
            }

            var required = Parameters
                .Where(parameter => parameter.Required)
                .Select(parameter => JsonValue.Create(parameter.Name));
            return new JsonObject
            {
                ["type"] = "function",
                ["function"] = new JsonObject
                {
                    ["name"] = Name,
                    ["description"] = Description,
                    ["parameters"] = new JsonObject
                    {
                        ["type"] = "object",
                        ["properties"] = properties,
                        ["required"] = new JsonArray([.. required]),
                    },
                },
            };
        }
    }
}
