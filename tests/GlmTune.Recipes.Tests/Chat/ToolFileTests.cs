using GlmTune.Recipes.Chat;

namespace GlmTune.Recipes.Tests.Chat;

public sealed class ToolFileTests : IDisposable
{
    private readonly string path = Path.GetTempFileName();

    public void Dispose() => File.Delete(path);

    [Theory]
    [InlineData("\uFEFF[{\"name\": \"map\"}]")]
    [InlineData("{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"map\"}}]}")]
    public void Tools_are_read_behind_a_byte_order_mark_too(string content)
    {
        File.WriteAllText(path, content);
        Assert.Equal("map", Assert.Single(ToolFile.Read(path)).Name);
    }

    [Theory]
    [InlineData("{\"tools\": 1}", "found a number; expected an array of tools")]
    [InlineData("[{'name': 'map'}]", "line 1, character 3: not valid JSON: found ' (a single quote)")]
    [InlineData("[{\"name\": \"map\"}, 1]", "tools[1]:")]
    public void Anything_else_is_named(string content, string text)
    {
        File.WriteAllText(path, content);
        Assert.Contains(
            text,
            Assert.Throws<InvalidDataException>(() => ToolFile.Read(path)).Message,
            StringComparison.Ordinal
        );
    }
}
