namespace GlmTune.Files.Tests;

public sealed class RealPathTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Links_are_followed_wherever_they_stand()
    {
        Directory.CreateDirectory(folder.At("a", "b"));
        Directory.CreateDirectory(folder.At("c"));
        Directory.CreateSymbolicLink(folder.At("to-a"), folder.At("a"));
        Directory.CreateSymbolicLink(folder.At("a", "up"), "../c");
        Directory.CreateSymbolicLink(folder.At("c", "back"), folder.At("to-a", "b"));
        var root = RealPath.Of(folder.Path);
        Assert.Equal(Path.Combine(root, "a", "b"), RealPath.Of(folder.At("to-a", "up", "back")));
        Assert.Equal(Path.Combine(root, "c", "none"), RealPath.Of(folder.At("to-a", "up", "none")));
        Assert.True(RealPath.IsWithin(folder.At("to-a", "b"), folder.At("a")));
        Assert.True(RealPath.IsWithin(folder.At("a"), folder.At("to-a")));
        Assert.True(RealPath.IsWithin("/etc", "/"));
        Assert.False(RealPath.IsWithin(folder.At("a", "up"), folder.At("a")));
        Assert.False(RealPath.IsWithin(folder.At("ab"), folder.At("a")));
    }

    [Fact]
    public void Links_in_a_circle_are_refused()
    {
        Directory.CreateSymbolicLink(folder.At("x"), folder.At("y"));
        Directory.CreateSymbolicLink(folder.At("y"), folder.At("x"));
        Assert.Throws<IOException>(() => RealPath.Of(folder.At("x", "z")));
    }
}
