using GlmTune.Kernels.Native;

namespace GlmTune.Kernels.Tests.Native;

public sealed class PyTorchInstallsTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Theory]
    [InlineData("version.py", "__version__ = '2.10.0+cu128'\ndebug = False\ncuda: Optional[str] = '12.8'\n", "2.10.0")]
    [InlineData("version.py", "from typing import Optional\n__version__ = \"2.9.1\"\n", "2.9.1")]
    [InlineData("version.py", "__version__: str = '2.12.0a0+git1a2b3c'\n", "2.12.0")]
    [InlineData("build-version", "2.10.0+cpu\n", "2.10.0")]
    [InlineData("version.py", "version = 'unknown'\n", null)]
    [InlineData("readme.txt", "2.10.0", null)]
    public void A_version_is_read_beside_the_libraries(string name, string text, string? expected) =>
        Assert.Equal(expected, PyTorchInstalls.VersionOf(Install("one", name, text))?.ToString());

    [Fact]
    public void The_newest_that_fits_comes_first_and_older_ones_are_named()
    {
        string[] folders =
        [
            Install("old", "version.py", "__version__ = '2.4.1+cu121'"),
            Install("fits", "version.py", "__version__ = '2.10.0+cu128'"),
            Install("unknown", "other", ""),
            Install("newest", "version.py", "__version__ = '2.11.0'"),
        ];
        var (fitting, passedOver) = PyTorchInstalls.Choose(folders);
        Assert.Equal([folders[3], folders[1], folders[2]], fitting);
        Assert.Equal([$"{folders[0]} is PyTorch 2.4.1; GlmTune needs 2.10 or newer"], passedOver);
    }

    private string Install(string name, string file, string text)
    {
        var folder = Directory.CreateDirectory(Path.Combine(root, name, "torch", "lib")).FullName;
        File.WriteAllText(Path.Combine(root, name, "torch", file), text);
        return folder;
    }
}
