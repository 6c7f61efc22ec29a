using System.Text;
using System.Text.Json;

namespace GlmTune.Server.Tests.Requests;

public sealed class BodyWalkTests
{
    private static readonly ServerLimits Few = new()
    {
        Messages = 3,
        Tools = 2,
        StopTexts = 1,
        ToolCalls = 2,
        ContentParts = 2,
        JsonValues = 60,
        JsonDepth = 8,
    };

    [Theory]
    [InlineData("""{"a":"\ud83d\ude00 \\ud800 \u0041","\uD83D\uDE00":[]}""")]
    [InlineData("""{"messages":[{},{},{}],"tools":[1,2],"stop":["x"],"x":{"messages":[1,2,3,4,5]}}""")]
    [InlineData("""{"messages":[{"content":[1,2]},{"content":"x"},{"tool_calls":[{},{"stop":[1,2,3]}]}]}""")]
    [InlineData("""{"messages":{"content":[1,2,3]},"messages2":[{"content":[1,2,3]}]}""")]
    [InlineData("[[[[[[[[]]]]]]]]")]
    [InlineData("\"\\\"\"")]
    public void What_is_within_the_limits_passes(string body) => BodyWalk.Check(Encoding.UTF8.GetBytes(body), Few);

    [Theory]
    [InlineData("""{"messages":[0,0,0,0]}""", "messages", "'messages' has 4 messages; expected at most 3.")]
    [InlineData("""{"x":1,"tools":[{},{},[{}]]}""", "tools", "'tools' has 3 tools; expected at most 2.")]
    [InlineData("""{"stop":["",""]}""", "stop", "'stop' has 2 texts; expected at most 1.")]
    [InlineData(
        """{"messages":[{"tool_calls":[0,0]},{"role":"x","tool_calls":[0]}]}""",
        "messages",
        "'messages' has 3 tool calls in all; expected at most 2."
    )]
    [InlineData(
        """{"messages":[{"content":[{},{"content":[1]},{}]}],"stop":[1,2]}""",
        "stop",
        "'stop' has 2 texts; expected at most 1; 'messages' has 3 content parts in all; expected at most 2."
    )]
    [InlineData("""{"a":"\ud800"}""", "a", "'a' contains an unpaired surrogate")]
    [InlineData("""{"a":"\udc00\ud800"}""", "a", "'a' contains an unpaired surrogate")]
    [InlineData("""{"a":"\ud800\ud800\udc00"}""", "a", "'a' contains an unpaired surrogate")]
    [InlineData("""{"a":"\ud800\\udc00"}""", "a", "'a' contains an unpaired surrogate")]
    [InlineData("""{"a":"\ud800\n"}""", "a", "'a' contains an unpaired surrogate")]
    [InlineData("""{"a":[{"b":1},[0,"\uDEAD"]]}""", "a[1][1]", "'a[1][1]' contains an unpaired surrogate")]
    [InlineData("""{"é":{"b\u0020c":"\ud900x"}}""", "é.b\\u0020c", "'é.b\\u0020c' contains an unpaired surrogate")]
    [InlineData("""{"\ud800":1}""", null, "The body has a member whose name contains an unpaired surrogate")]
    [InlineData(
        """{"a":1,"b":[{"c":1,"\udfff":1}]}""",
        "b[0]",
        "'b[0]' has a member whose name contains an unpaired surrogate"
    )]
    [InlineData("\"\\ud800\"", null, "The body contains an unpaired surrogate")]
    [InlineData("[[[[[[[[[]]]]]]]]]", null, "The body is not JSON, or nested deeper than 8 levels (line 1, byte 9).")]
    [InlineData("{\n \"a\": tru }", null, "The body is not JSON, or nested deeper than 8 levels (line 2, byte 10).")]
    [InlineData("{} {}", null, "The body is not JSON")]
    [InlineData("'{\"a\":1}'", null, "byte 1). It begins with an apostrophe: ")]
    [InlineData("", null, "The body is empty; expected a JSON object.")]
    [InlineData(" \r\n\t", null, "The body is empty; expected a JSON object.")]
    [InlineData("LONG", null, "The body contains more than 60 JSON values.")]
    public void What_is_wrong_is_said_with_its_place(string body, string? param, string message)
    {
        body = body == "LONG" ? $"[{string.Join(',', Enumerable.Repeat("0", 60))}]" : body;
        var error = Assert.Throws<ApiException>(() => BodyWalk.Check(Encoding.UTF8.GetBytes(body), Few));
        Assert.Equal((400, param), (error.Status, error.Param));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(new byte[] { (byte)'"', 0xC4, 0xE3, (byte)'"' }, "(byte 2 is 0xC4)")] // GBK
    [InlineData(new byte[] { (byte)'"', 0xE4, 0xBD, 0xA0, 0xFF, (byte)'"' }, "(byte 5 is 0xFF)")]
    [InlineData(new byte[] { (byte)'"', 0xED, 0xA0, 0x80, (byte)'"' }, "(byte 2 is 0xED)")] // Half a pair, encoded.
    [InlineData(new byte[] { 0xFF, 0xFE, (byte)'{', 0 }, "(byte 1 is 0xFF)")] // UTF-16
    [InlineData(new byte[] { (byte)'"', (byte)'a', 0xE4, 0xBD }, "(byte 3 is 0xE4)")]
    public void Bytes_that_are_not_UTF_8_are_told_with_their_place(byte[] body, string place)
    {
        var error = Assert.Throws<ApiException>(() => BodyWalk.Check(body, Few));
        Assert.StartsWith($"The body is not UTF-8 {place}.", error.Message, StringComparison.Ordinal);
    }

    // Against the parser and its own reading of each name and string.
    [Fact]
    public void What_passes_is_what_later_code_can_read()
    {
        var random = new Random(5);
        var readable = 0;
        for (var i = 0; i < 3000; i++)
        {
            var body = Value(random, 0);
            var expected = IsReadable(body);
            Assert.True(expected == Passes(body), body);
            readable += expected ? 1 : 0;
        }

        Assert.InRange(readable, 500, 2500); // Both kinds came often.
    }

    private static string Value(Random random, int depth) =>
        random.Next(depth > 3 ? 2 : 4) switch
        {
            0 => Text(random),
            1 => "1",
            2 => $"[{Joined(() => Value(random, depth + 1))}]",
            _ => $"{{{Joined(() => $"{Text(random)}:{Value(random, depth + 1)}")}}}",
        };

    private static string Joined(Func<string> item) => string.Join(',', Enumerable.Range(0, 3).Select(_ => item()));

    private static string Text(Random random)
    {
        string[] pieces =
        [
            "\\ud83d\\ude00",
            "\\ud83d\\ude00",
            "\\\\",
            "\\n",
            "a",
            "é",
            "\\u0041",
            "\\\"",
            "\\uDC00",
            "\\ud83d",
        ];
        // The last two are rare, or no body would be whole.
        var text = Enumerable.Range(0, random.Next(3)).Select(_ => pieces[random.Next(random.Next(8) == 0 ? 10 : 8)]);
        return $"\"{string.Concat(text)}\"";
    }

    private static bool Passes(string body)
    {
        try
        {
            BodyWalk.Check(Encoding.UTF8.GetBytes(body), new ServerLimits());
            return true;
        }
        catch (ApiException)
        {
            return false;
        }
    }

    private static bool IsReadable(string body)
    {
        using var document = JsonDocument.Parse(body);
        try
        {
            Read(document.RootElement);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    private static void Read(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                _ = element.GetString();
                break;
            case JsonValueKind.Array:
                element.EnumerateArray().ToList().ForEach(Read);
                break;
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    _ = member.Name;
                    Read(member.Value);
                }

                break;
        }
    }
}
