using GlmTune.Data.Conversations;

namespace GlmTune.Inference.Tests.Chat;

public class ToolCallParserTests
{
    private static readonly string[] Tools = ["get_weather", "simple_browser", "python", "cogview"];

    [Theory]
    [InlineData("get_weather\n{\"city\": \"北京\"}", "get_weather", "{\"city\": \"北京\"}", ToolCallStyle.Native)]
    [InlineData(
        "get_weather\n{\n  \"city\": \"x\"\n}\n",
        "get_weather",
        "{\n  \"city\": \"x\"\n}",
        ToolCallStyle.Native
    )]
    [InlineData(
        "get_weather\n```json\n{\"city\": \"x\"}\n```",
        "get_weather",
        "{\"city\": \"x\"}",
        ToolCallStyle.Native
    )]
    [InlineData(
        "\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}}",
        "get_weather",
        "{\"city\": \"x\"}",
        ToolCallStyle.Json
    )]
    [InlineData("{\"name\": \"get_weather\", \"arguments\": {}}", "get_weather", "{}", ToolCallStyle.Json)]
    [InlineData(
        "\n```json\n{\"name\": \"get_weather\", \"arguments\": {}}\n```",
        "get_weather",
        "{}",
        ToolCallStyle.Json
    )]
    [InlineData(
        "simple_browser\nsearch(\"news \\\"today\\\"\", recency_days=3)",
        "simple_browser",
        "{\"query\":\"news \\\"today\\\"\",\"recency_days\":3}",
        ToolCallStyle.Native
    )]
    [InlineData("simple_browser\nsearch(\"天气\")", "simple_browser", "{\"query\":\"天气\"}", ToolCallStyle.Native)]
    [InlineData(
        "simple_browser\nmclick([0, 1])",
        "simple_browser",
        "{\"code\":\"mclick([0, 1])\"}",
        ToolCallStyle.Native
    )]
    [InlineData("python\nprint(1)\nprint(2)", "python", "{\"code\":\"print(1)\\nprint(2)\"}", ToolCallStyle.Native)]
    [InlineData("cogview\na red cat", "cogview", "{\"prompt\":\"a red cat\"}", ToolCallStyle.Native)]
    [InlineData(
        " get_weather\n ```python\ntool_call(city='北京', days=2)\n```",
        "get_weather",
        "{\"city\":\"北京\",\"days\":2}",
        ToolCallStyle.Native
    )]
    public void Calls_of_all_styles_are_read(string text, string name, string arguments, ToolCallStyle style)
    {
        var parsed = ToolCallParser.Parse(text, Tools);
        Assert.Equal(new ToolCall(name, arguments, style), parsed.Call);
        Assert.Equal(style == ToolCallStyle.Native ? name : "", parsed.Message.Metadata);
    }

    [Theory]
    [InlineData("\nIt is warm.", "It is warm.")]
    [InlineData("get_weather\nis a function {", "get_weather\nis a function {")]
    [InlineData("get_weather\n{\"city\": ", "get_weather\n{\"city\":")]
    [InlineData("get_weather\n[1]", "get_weather\n[1]")]
    [InlineData("get_weather\n```python\nprint(1)\n```", "get_weather\n```python\nprint(1)\n```")]
    [InlineData("get_weather\n{\"city\": \"\\ud800\"}", "get_weather\n{\"city\": \"\\ud800\"}")]
    [InlineData("get_weather\n{\"\\udc00\": 1}", "get_weather\n{\"\\udc00\": 1}")]
    [InlineData(
        "\n{\"name\": \"get_weather\", \"arguments\": {\"\\ud800\": 1}}",
        "{\"name\": \"get_weather\", \"arguments\": {\"\\ud800\": 1}}"
    )]
    [InlineData("other\n{\"a\": 1}", "other\n{\"a\": 1}")]
    [InlineData("\n{\"name\": \"other\", \"arguments\": {}}", "{\"name\": \"other\", \"arguments\": {}}")]
    [InlineData("\n{\"name\": \"get_weather\"}", "{\"name\": \"get_weather\"}")]
    [InlineData("", "")]
    public void Everything_else_is_text(string text, string content)
    {
        var parsed = ToolCallParser.Parse(text, Tools);
        Assert.Null(parsed.Call);
        Assert.Equal(new Message(Role.Assistant, content).Content, parsed.Message.Content);
        Assert.Equal("", parsed.Message.Metadata);
    }

    [Fact]
    public void Where_tools_are_unknown_any_identifier_is_one_and_where_there_are_none_none_is()
    {
        Assert.Equal("other", ToolCallParser.Parse("other\n{\"a\": 1}", null).Call!.Name);
        Assert.Null(ToolCallParser.Parse("two words\n{\"a\": 1}", null).Call);
        Assert.Null(ToolCallParser.Parse("other\n{\"a\": 1}", []).Call);
    }
}
