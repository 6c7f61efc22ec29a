using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class PythonCallTests
{
    [Theory]
    [InlineData("{}", "tool_call()")]
    [InlineData("""{"city": "北京", "days": 3}""", "tool_call(city='北京', days=3)")]
    [InlineData(
        """{"a": [1, -2.5e3, true, null], "b": {"x": false}}""",
        "tool_call(a=[1, -2.5e3, True, None], b={'x': False})"
    )]
    [InlineData("""{"s": "it's"}""", "tool_call(s=\"it's\")")]
    [InlineData("""{"s": "a\n\\ '\"\u0007"}""", """tool_call(s='a\n\\ \'"\x07')""")]
    public void Arguments_are_written_as_Python_and_read_back(string json, string python)
    {
        var written = PythonCall.Write(json);
        Assert.Equal($"```python\n{python}\n```", written);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(json), JsonNode.Parse(PythonCall.Read(written!)!)));
    }

    [Fact]
    public void A_name_that_Python_cannot_take_keeps_the_call_as_it_is()
    {
        Assert.Null(PythonCall.Write("""{"a-b": 1}"""));
        var message = new Message(Role.Assistant, """{"a-b": 1}""") { Metadata = "f" };
        Assert.Same(message, PythonCall.InStyle(message));
    }

    [Theory]
    [InlineData(
        "```python\ntool_call(x=(1, 2,),\n  y = {'a' : \"b\\u4f60\",})\n```",
        """{"x":[1,2],"y":{"a":"b你"}}"""
    )]
    [InlineData(" ```python tool_call( ) ``` ", "{}")]
    public void Python_is_read_as_it_may_be_written(string text, string json) =>
        Assert.Equal(json, PythonCall.Read(text));

    [Theory]
    [InlineData("tool_call(x=1)")]
    [InlineData("```python\nprint(1)\n```")]
    [InlineData("```python\ntool_call(1)\n```")]
    [InlineData("```python\ntool_call(x=y)\n```")]
    [InlineData("```python\ntool_call(x=open('a'))\n```")]
    [InlineData("```python\ntool_call(x=1, x=2)\n```")]
    [InlineData("```python\ntool_call(x='a)\n```")]
    [InlineData("```python\ntool_call(x=1 y=2)\n```")]
    [InlineData("```python\ntool_call(x={1: 2})\n```")]
    [InlineData("```python\ntool_call(x=1); tool_call(y=2)\n```")]
    [InlineData("```python```")]
    public void Anything_but_a_call_with_literals_is_no_call(string text) => Assert.Null(PythonCall.Read(text));

    [Fact]
    public void Depth_is_bounded() =>
        Assert.Null(
            PythonCall.Read($"```python\ntool_call(x={new string('[', 100_000)}{new string(']', 100_000)})\n```")
        );
}
