namespace GlmTune.Hub;

public sealed class HubNameTests
{
    [Theory]
    [
        InlineData("THUDM/glm-4-9b-chat", null),
        InlineData("a/b.c_d@v1.0", "v1.0"),
        InlineData("a/b@refs/pr/1", "refs/pr/1")
    ]
    public void Names_are_read_with_their_revision(string text, string? revision)
    {
        var name = HubName.Parse(text);
        Assert.Equal((text, revision), ($"{name}", name.Revision));
        Assert.Equal(revision is null, HubName.IsId(text));
    }

    [Theory]
    [
        InlineData("glm"),
        InlineData("a/b/c"),
        InlineData("../b"),
        InlineData("a/.."),
        InlineData("a/b@"),
        InlineData("a/b@../x")
    ]
    [
        InlineData("a/b@x//y"),
        InlineData("a/b@x\\y"),
        InlineData("/b"),
        InlineData("a/"),
        InlineData("a b/c"),
        InlineData("a/b@x@y")
    ]
    public void Other_texts_are_not_names(string text)
    {
        Assert.False(HubName.TryParse(text, out _));
        Assert.Throws<InvalidDataException>(() => HubName.Parse(text));
    }
}
