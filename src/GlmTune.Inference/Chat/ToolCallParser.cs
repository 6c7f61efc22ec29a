using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>Finds the tool call in a model's output, in any of three styles.</summary>
/// <remarks>GLM-4's own style: the tool's name on the first line, then the arguments as a JSON object (for built-in
/// tools of the model, as their own text). The fine-tuning demo's style: content <c>{"name": …, "arguments":
/// {…}}</c>. ChatGLM3's style: the name, then Python that calls <c>tool_call</c>.</remarks>
internal static partial class ToolCallParser
{
    /// <summary>Parses one message of the model.</summary>
    /// <param name="text">The text after the assistant token, including the header's newline.</param>
    /// <param name="toolNames">The available tools; other names do not make a call. Null: any identifier does.</param>
    /// <param name="cutOff">Whether the length limit cut it off: a tool's name with nothing after it is then not a
    /// call.</param>
    public static ParsedAnswer Parse(string text, IReadOnlyCollection<string>? toolNames, bool cutOff = false)
    {
        if (Native(text, toolNames, cutOff) is { } native)
        {
            return native;
        }

        var message = new Message(Role.Assistant, text.Trim());
        var call = ToolCall.Read(message with { Content = WithoutFence(message.Content) });
        return new ParsedAnswer(
            message,
            call is { HasJsonArguments: true } && IsTool(call.Name, toolNames) ? call : null
        );
    }

    /// <summary>Whether a name is that of an available tool.</summary>
    internal static bool IsTool(string name, IReadOnlyCollection<string>? toolNames) =>
        toolNames?.Contains(name) ?? Identifier().IsMatch(name);

    private static ParsedAnswer? Native(string text, IReadOnlyCollection<string>? toolNames, bool cutOff)
    {
        var end = text.IndexOf('\n', StringComparison.Ordinal);
        if (end < 0)
        {
            return null;
        }

        var (name, content) = (text[..end].Trim(), text[(end + 1)..].Trim());
        if (!IsTool(name, toolNames))
        {
            return null;
        }

        if (content.Length == 0)
        {
            // An available function, called without arguments.
            if (cutOff || toolNames is null || ToolDefinition.BuiltIn.Contains(name))
            {
                return null;
            }

            content = "{}";
        }

        var arguments =
            ToolDefinition.BuiltIn.Contains(name) && !content.StartsWith('{')
                ? BuiltInArguments(name, content)
                : PythonCall.Read(content) ?? WithoutFence(content);
        var call = new ToolCall(name, arguments, ToolCallStyle.Native);
        return call.HasJsonArguments
            ? new ParsedAnswer(new Message(Role.Assistant, content) { Metadata = name }, call)
            : null;
    }

    private static string BuiltInArguments(string name, string content)
    {
        if (
            name == "simple_browser"
            && Search().Match(content) is { Success: true } search
            && Unquote(search.Groups["query"].Value) is { } query
        )
        {
            var arguments = new JsonObject { ["query"] = query };
            if (search.Groups["days"] is { Success: true } days && int.TryParse(days.ValueSpan, out var number))
            {
                arguments["recency_days"] = number;
            }

            return arguments.ToJsonString(Relaxed);
        }

        return new JsonObject { [name == "cogview" ? "prompt" : "code"] = content }.ToJsonString(Relaxed);
    }

    private static string? Unquote(string literal)
    {
        try
        {
            return JsonSerializer.Deserialize<string>(literal);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string WithoutFence(string content) =>
        Fence().Match(content) is { Success: true } match ? match.Groups[1].Value : content;

    private static readonly JsonSerializerOptions Relaxed = new()
    {
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    [GeneratedRegex(@"^[\p{L}_][\p{L}\p{N}_.-]*$", RegexOptions.CultureInvariant)]
    private static partial Regex Identifier();

    [GeneratedRegex(
        @"^search\(\s*(?<query>""(?:[^""\\]|\\.)*"")\s*(?:,\s*recency_days\s*=\s*(?<days>-?\d{1,9})\s*)?\)$",
        RegexOptions.CultureInvariant
    )]
    private static partial Regex Search();

    [GeneratedRegex(@"^```(?:json)?\s*(\{.*\})\s*```$", RegexOptions.CultureInvariant | RegexOptions.Singleline)]
    private static partial Regex Fence();
}
