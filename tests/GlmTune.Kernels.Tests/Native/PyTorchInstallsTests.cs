using GlmTune.Kernels.Native;
using Xunit;

namespace GlmTune.Kernels.Tests.Native;

public sealed class PyTorchInstallsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("version.py", "__version__ = '2.10.0+cu128'\ndebug = False\ncuda: Optional[str] = '12.8'\n", "2.10.0")]
    [InlineData("version.py", "from typing import Optional\n__version__ = \"2.9.1\"\n", "2.9.1")]
    [InlineData("version.py", "__version__: str = '2.12.0a0+git1a2b3c'\n", "2.12.0")]
    [InlineData("build-version", "2.10.0+cpu\n", "2.10.0")]
    [InlineData("version.py", "version = 'unknown'\n", null)]
    [InlineData("readme.txt", "2.10.0", null)]
    public void A_version_is_read_beside_the_libraries(string name, string text, string? expected)
    {
        var lib = Directory.CreateDirectory(folder.At("torch", "lib")).FullName;
        folder.Write($"torch/{name}", text);
        Assert.Equal(expected, PyTorchInstalls.VersionOf(lib)?.ToString());
    }

    [Fact]
    public void A_pipe_in_place_of_the_version_is_not_waited_for()
    {
        folder.Pipe("torch", "version.py");
        Assert.Null(PyTorchInstalls.VersionOf(Directory.CreateDirectory(folder.At("torch", "lib")).FullName));
    }

    [Fact]
    public void Installations_are_found_in_the_active_environments_and_on_the_path()
    {
        string Install(string environment) =>
            Directory.CreateDirectory(folder.At(environment, "lib/python3.12/site-packages/torch/lib")).FullName;
        var (active, conda, onPath) = (Install("active"), Install("conda"), Install("other"));
        folder.Write("other/bin/python3", "");
        var variables = new Dictionary<string, string>
        {
            ["VIRTUAL_ENV"] = folder.At("active"),
            ["CONDA_PREFIX"] = folder.At("conda"),
            ["PATH"] = string.Join(Path.PathSeparator, folder.At("nothing"), folder.At("other", "bin")),
            ["HOME"] = folder.Path,
        };
        var found = new PyTorchInstalls(variables.GetValueOrDefault).Folders().Take(3);
        Assert.Equal(
            [
                (active, "VIRTUAL_ENV"),
                (conda, "CONDA_PREFIX"),
                (onPath, $"{folder.At("other", "bin", "python3")} on the PATH"),
            ],
            found
        );
    }

    [Fact]
    public void Environments_that_conda_recorded_are_found_by_name()
    {
        var first = Directory.CreateDirectory(folder.At("envs", "glm")).FullName;
        folder.Write(".conda/environments.txt", $"{folder.At("envs", "base")}\n{first}\n{folder.At("gone", "glm")}\n");
        var second = Directory.CreateDirectory(folder.At(".virtualenvs", "glm")).FullName;
        var installs = new PyTorchInstalls(name => name == "HOME" ? folder.Path : null);
        Assert.Equal([first, second], installs.EnvironmentsNamed("glm"));
        Assert.Empty(installs.EnvironmentsNamed("other"));
    }
}
