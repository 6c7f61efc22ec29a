using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class ToolCallTests
{
    [Fact]
    public void Both_styles_are_read()
    {
        Assert.Equal(
            new ToolCall("f", "{\"a\": 1}", ToolCallStyle.Native),
            ToolCall.Read(new Message(Role.Assistant, "{\"a\": 1}") { Metadata = "f" })
        );
        Assert.Equal(
            new ToolCall("f", "{\"a\":  1}", ToolCallStyle.Json),
            ToolCall.Read(new Message(Role.Assistant, " {\"name\": \"f\", \"arguments\": {\"a\":  1}}\n"))
        );
    }

    [Theory]
    [InlineData(Role.Assistant, "hello")]
    [InlineData(Role.Assistant, "{\"name\": \"f\"}")]
    [InlineData(Role.Assistant, "{\"name\": \"f\", \"arguments\": {}, \"more\": 1}")]
    [InlineData(Role.Assistant, "{\"name\": \"f\", \"arguments\": {}} and text")]
    [InlineData(Role.Assistant, "{\"name\": \"\", \"arguments\": {}}")]
    [InlineData(Role.Assistant, "{\"name\": \"f\\nx\", \"arguments\": {}}")]
    [InlineData(Role.Observation, "{\"name\": \"f\", \"arguments\": {}}")]
    public void Anything_else_is_no_call(Role role, string content) =>
        Assert.Null(ToolCall.Read(new Message(role, content)));

    [Fact]
    public void A_call_keeps_its_arguments_from_style_to_style()
    {
        var native = new Message(Role.Assistant, "{\"a\": [1,  2.0]}") { Metadata = "f\"x", Loss = false };
        var json = ToolCall.InStyle(native, ToolCallStyle.Json);
        Assert.Equal("{\"name\": \"f\\\"x\", \"arguments\": {\"a\": [1,  2.0]}}", json.Content);
        Assert.Equal(native, ToolCall.InStyle(json, ToolCallStyle.Native));
        Assert.Same(native, ToolCall.InStyle(native, ToolCallStyle.AsWritten));
    }

    // Inside {"name": …, "arguments": …} it would be no JSON.
    [Fact]
    public void Code_stays_in_the_only_style_that_can_hold_it()
    {
        var code = new Message(Role.Assistant, "print(1)") { Metadata = "python" };
        Assert.Same(code, ToolCall.InStyle(code, ToolCallStyle.Json));
    }

    [Theory]
    [InlineData("{\"a\": \"\\u00e9\\ud83d\\ude00\"}", true)]
    [InlineData("{\"a\": {\"\\ud800\": 1}}", false)]
    [InlineData("{\"a\": [\"\\udc00\"]}", false)]
    [InlineData("[1]", false)]
    [InlineData("{", false)]
    public void Arguments_are_an_object_of_whole_characters(string arguments, bool expected) =>
        Assert.Equal(expected, new ToolCall("f", arguments, ToolCallStyle.Native).HasJsonArguments);
}
