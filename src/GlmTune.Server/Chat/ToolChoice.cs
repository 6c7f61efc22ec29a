using System.Text.Json;

namespace GlmTune.Server;

/// <summary>Whether a tool may, must or must not be called.</summary>
/// <param name="MayCall">Whether the tools are shown to the model.</param>
/// <param name="MustCall">Whether the answer is guaranteed to be a call.</param>
/// <param name="Allowed">The tools that may be called, each with its location in the request; null for all.</param>
internal sealed record ToolChoice(bool MayCall, bool MustCall, IReadOnlyList<(string Name, string Param)>? Allowed)
{
    /// <exception cref="ApiException">400: the form is unknown.</exception>
    public static ToolChoice Read(JsonElement? choice)
    {
        switch (choice)
        {
            case null or { ValueKind: JsonValueKind.Null }:
                return new ToolChoice(true, false, null);
            case { ValueKind: JsonValueKind.String } word:
                return word.GetString()! switch
                {
                    "none" => new ToolChoice(false, false, null),
                    "auto" => new ToolChoice(true, false, null),
                    "required" => new ToolChoice(true, true, null),
                    var other => throw ApiException.Wrong(
                        "tool_choice",
                        $"'tool_choice' is '{Printable.Of(other)}'; expected none, auto, required or a function."
                    ),
                };
            case { ValueKind: JsonValueKind.Object } named:
                return TypeOf(named, "tool_choice") switch
                {
                    "allowed_tools" => AllowedTools(named),
                    null or "function" => new ToolChoice(true, true, [NameOf(named, "tool_choice")]),
                    var other => throw ApiException.Wrong(
                        "tool_choice.type",
                        $"'tool_choice.type' is '{Printable.Of(other)}'; expected function or allowed_tools."
                    ),
                };
            case { } other:
                throw ApiException.Wrong(
                    "tool_choice",
                    $"'tool_choice' is {RequestBody.Kind(other)}; expected none, auto, required, or {{\"type\": "
                        + $"\"function\", \"function\": {{\"name\": …}}}}."
                );
        }
    }

    /// <summary>The tools to show to the model.</summary>
    /// <exception cref="ApiException">400: the tool does not exist, or a call is required without any tool to
    /// call.</exception>
    public IReadOnlyList<RequestTool> Select(IReadOnlyList<RequestTool> tools)
    {
        var (declared, allowed) = (
            tools.Select(tool => tool.Definition.Name).ToHashSet(StringComparer.Ordinal),
            new HashSet<string>(StringComparer.Ordinal)
        );
        foreach (var (name, param) in Allowed ?? [])
        {
            if (allowed.Add(name) && !declared.Contains(name))
            {
                throw ApiException.Wrong(
                    param,
                    $"'tool_choice' names '{Printable.Of(name)}', which is not in 'tools'."
                );
            }
        }

        IReadOnlyList<RequestTool> shown =
            !MayCall ? []
            : Allowed is null ? tools
            : [.. tools.Where(tool => allowed.Contains(tool.Definition.Name))];
        return !MustCall || shown.Count > 0
            ? shown
            : throw ApiException.Wrong("tool_choice", "'tool_choice' requires a call, but 'tools' is empty.");
    }

    private static ToolChoice AllowedTools(JsonElement choice)
    {
        const string Place = "tool_choice.allowed_tools";
        if (!choice.TryGetProperty("allowed_tools", out var allowed) || allowed.ValueKind != JsonValueKind.Object)
        {
            throw ApiException.Wrong(Place, $"'{Place}' must be an object with a 'mode' and 'tools'.");
        }

        var mode =
            allowed.TryGetProperty("mode", out var given) && given.ValueKind == JsonValueKind.String
                ? given.GetString()!
                : null;
        if (mode is not ("auto" or "required"))
        {
            throw ApiException.Wrong($"{Place}.mode", $"'{Place}.mode' must be auto or required.");
        }

        return
            allowed.TryGetProperty("tools", out var tools)
            && tools.ValueKind == JsonValueKind.Array
            && tools.GetArrayLength() > 0
            ? new ToolChoice(
                true,
                mode == "required",
                [.. tools.EnumerateArray().Index().Select(tool => NameOf(tool.Item, $"{Place}.tools[{tool.Index}]"))]
            )
            : throw ApiException.Wrong($"{Place}.tools", $"'{Place}.tools' must be a non-empty list of functions.");
    }

    private static string? TypeOf(JsonElement named, string place) =>
        !named.TryGetProperty("type", out var type) || type.ValueKind == JsonValueKind.Null ? null
        : type.ValueKind == JsonValueKind.String ? type.GetString()!
        : throw ApiException.Wrong(
            $"{place}.type",
            $"'{place}.type' is {RequestBody.Kind(type)}; expected function or allowed_tools."
        );

    private static (string Name, string Param) NameOf(JsonElement named, string place)
    {
        if (
            named.ValueKind != JsonValueKind.Object
            || !named.TryGetProperty("function", out var function)
            || function.ValueKind != JsonValueKind.Object
        )
        {
            throw ApiException.Wrong($"{place}.function", $"'{place}.function' must be an object with a 'name'.");
        }

        var param = $"{place}.function.name";
        return function.TryGetProperty("name", out var name) && name.ValueKind == JsonValueKind.String
            ? (name.GetString()!, param)
            : throw ApiException.Wrong(param, $"'{param}' must be the name of a tool.");
    }
}
