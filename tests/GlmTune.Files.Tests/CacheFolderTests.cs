namespace GlmTune.Files.Tests;

public sealed class CacheFolderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly List<string> heard = [];

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_file_is_made_once_and_kept_for_other_processes()
    {
        var home = folder.At("home");
        var file = Path.Combine(home, ".cache", "glmtune", "a", "b");
        Assert.Equal(file, Cache(("HOME", home)).FileOf("a/b", () => "one"u8.ToArray()));
        Assert.Equal(file, Cache(("HOME", home)).FileOf("a/b", () => throw new InvalidOperationException()));
        Assert.Equal("one", File.ReadAllText(file));
        Assert.Empty(heard);
    }

    [Theory]
    [InlineData("~/cache")]
    [InlineData(null)]
    public void XDG_CACHE_HOME_comes_first_and_may_begin_with_a_tilde(string? named)
    {
        var home = folder.At("home");
        Assert.Equal(
            Path.Combine(home, named is null ? ".cache" : "cache", "glmtune", "x"),
            Cache(("HOME", home), ("XDG_CACHE_HOME", named)).FileOf("x", () => [])
        );
    }

    // A file where a folder should be stops every account, root too.
    [Fact]
    public void Where_the_cache_cannot_be_written_a_private_temporary_folder_is_used_and_said_once()
    {
        var home = folder.Write("home", "");
        var cache = Cache(("HOME", home));
        var first = cache.FileOf("a", () => "one"u8.ToArray());
        var second = cache.FileOf("deep/b", () => "two"u8.ToArray());
        Assert.Equal(first, cache.FileOf("a", () => throw new InvalidOperationException()));
        Assert.StartsWith(folder.At("tmp"), first, StringComparison.Ordinal);
        Assert.Equal(("one", "two"), (File.ReadAllText(first), File.ReadAllText(second)));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute,
                File.GetUnixFileMode(Path.GetDirectoryName(first)!)
            );
        }

        Assert.Contains("XDG_CACHE_HOME", Assert.Single(heard), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_of_a_cache_that_can_only_be_read_is_used()
    {
        var usual = folder.Write("home/.cache/glmtune/a", "kept");
        Assert.Equal(
            usual,
            Cache(("HOME", folder.At("home"))).FileOf("a", () => throw new InvalidOperationException())
        );
    }

    [Fact]
    public void Where_no_folder_can_be_written_the_variable_is_named()
    {
        folder.Write("home", "");
        folder.Write("tmp", "");
        var error = Assert.Throws<IOException>(() => Cache(("HOME", folder.At("home"))).FileOf("a", () => []));
        Assert.Contains("Set XDG_CACHE_HOME", error.Message, StringComparison.Ordinal);
    }

    private CacheFolder Cache(params (string Name, string? Value)[] variables)
    {
        var cache = new CacheFolder(
            name => Array.Find(variables, variable => variable.Name == name).Value,
            folder.At("tmp")
        );
        cache.Unwritable += heard.Add;
        return cache;
    }
}
