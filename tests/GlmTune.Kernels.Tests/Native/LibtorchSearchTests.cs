using GlmTune.Kernels.Native;
using Xunit;

namespace GlmTune.Kernels.Tests.Native;

public sealed class LibtorchSearchTests : IDisposable
{
    private static readonly string Cpu = LibtorchCheck.FileOf("torch_cpu");
    private readonly TemporaryFolder folder = new();
    private readonly Dictionary<string, string> variables = [];

    public LibtorchSearchTests() => variables["HOME"] = folder.Path;

    public void Dispose() => folder.Dispose();

    [Fact]
    public void With_a_driver_the_newest_with_cuda_comes_first_and_then_the_one_beside_the_program()
    {
        var beside = Libtorch("program", null, cuda: false);
        var older = Libtorch("env/lib/python3.12/site-packages/torch/lib", "2.10.0", cuda: true);
        var newer = Libtorch("env/lib/python3.13/site-packages/torch/lib", "2.11.0", cuda: true);
        var newest = Libtorch("conda/lib/python3.13/site-packages/torch/lib", "2.12.0", cuda: false);
        var fetched = Libtorch("cache/cu128-2.10.0/lib", "2.10.0", cuda: true);
        Libtorch("cache/tmp-glmtune-cpu-2.10.0/lib", "2.10.0", cuda: true);
        variables["VIRTUAL_ENV"] = folder.At("env");
        variables["CONDA_PREFIX"] = folder.At("conda");
        Assert.Equal([newer, fetched, older, beside, newest], Places(beside, driver: true).Take(5));
        Assert.Equal([beside, newest, newer, fetched, older], Places(beside, driver: false).Take(5));
    }

    [Fact]
    public void A_build_with_cuda_comes_before_all_others()
    {
        var beside = Libtorch("program", null, cuda: true);
        variables["VIRTUAL_ENV"] = folder.At("env");
        Libtorch("env/lib/python3.12/site-packages/torch/lib", "2.12.0", cuda: true);
        Assert.Equal(beside, Places(beside, driver: true).First());
    }

    [Theory]
    [InlineData("env")]
    [InlineData("env/lib/python3.12/site-packages/torch")]
    [InlineData("env/lib/python3.12/site-packages/torch/lib")]
    [InlineData("by name")]
    public void The_variable_names_an_environment_or_a_folder_and_nothing_else_counts(string named)
    {
        var lib = Libtorch("env/lib/python3.12/site-packages/torch/lib", "2.11.0", cuda: false);
        var beside = Libtorch("program", null, cuda: true);
        folder.Write(".conda/environments.txt", folder.At("env"));
        variables[LibtorchSearch.Variable] = named == "by name" ? "env" : folder.At(named.Split('/'));
        Assert.Equal([lib], Places(beside, driver: true));
    }

    [Fact]
    public void What_the_variable_names_wrongly_stays_the_only_place()
    {
        variables[LibtorchSearch.Variable] = folder.At("nowhere");
        var place = Assert.Single(new LibtorchSearch(variables.GetValueOrDefault, [], null, false).Places());
        Assert.Equal(folder.At("nowhere"), place.Folder);
        Assert.Equal("does not exist", LibtorchCheck.FindProblem(place.Folder, place.Version, null, needsCuda: false));
    }

    private string Libtorch(string name, string? version, bool cuda)
    {
        foreach (var file in cuda ? [Cpu, .. LibtorchCheck.CudaLibraries] : (string[])[Cpu])
        {
            folder.Write($"{name}/{file}", "");
        }

        if (version is not null)
        {
            folder.Write($"{Path.GetDirectoryName(name)}/version.py", $"__version__ = '{version}+cu128'");
        }

        return folder.At(name.Split('/'));
    }

    private IEnumerable<string> Places(string beside, bool driver) =>
        new LibtorchSearch(variables.GetValueOrDefault, [beside], folder.At("cache"), driver)
            .Places()
            .Select(place => place.Folder);
}
