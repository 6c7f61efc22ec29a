using System.Text;

namespace GlmTune.Hub;

public sealed class ContentHashTests
{
    [Theory]
    // Of git hash-object and sha256sum.
    [InlineData("ce013625030ba8dba906f756967f9e9ca394464a", "hello\n")]
    [InlineData("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", "hello\n")]
    [InlineData("W/\"CE013625030BA8DBA906F756967F9E9CA394464A\"", "hello\n")]
    public void Both_hashes_are_computed(string hash, string content)
    {
        using var folder = new TemporaryFolder();
        Assert.True(ContentHash.TryParse(hash)!.Matches(folder.Write("file", content)));
        Assert.False(ContentHash.TryParse(hash)!.Matches(folder.Write("other", content + "\n")));
        Assert.Equal(6, Encoding.UTF8.GetByteCount(content));
    }

    [Theory]
    [InlineData(null), InlineData(""), InlineData("\"abc\""), InlineData("../../../../../../../../../../../../../etc")]
    [InlineData("ce013625030ba8dba906f756967f9e9ca394464g")]
    public void Other_texts_are_not_hashes(string? text) => Assert.Null(ContentHash.TryParse(text));
}
