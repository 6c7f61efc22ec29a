using System.IO.Compression;
using System.Xml.Linq;

namespace GlmTune.Samples.Tests;

/// <summary>What is in the packages.</summary>
[Collection(nameof(PackedSamples))]
public sealed class PackageTests(PackedSamples samples)
{
    [Fact]
    public void Every_library_has_a_package_with_symbols()
    {
        Assert.NotEmpty(Names("nupkg"));
        Assert.Equal(Names("nupkg"), Names("snupkg"));
        Assert.Contains(Names("nupkg"), name => name.StartsWith("GlmTune.Recipes.", StringComparison.Ordinal));
    }

    [Fact]
    public void A_package_has_its_documentation_readme_and_licence() =>
        Assert.All(
            Files("nupkg"),
            file =>
            {
                using var package = ZipFile.OpenRead(file);
                var names = package.Entries.Select(entry => entry.FullName).ToList();
                var library = Library(file);
                Assert.Contains($"lib/net10.0/{library}.dll", names);
                Assert.Contains($"lib/net10.0/{library}.xml", names);
                Assert.Contains("README.md", names);
                Assert.Contains("LICENSE", names);
                Assert.Contains("NOTICE", names);
                Assert.NotEqual("Package Description", (string?)Nuspec(package, "description").Single());
            }
        );

    [Fact]
    public void The_libraries_require_each_other_in_one_version_and_leave_libtorch_to_the_application() =>
        Assert.All(
            Files("nupkg"),
            file =>
            {
                using var package = ZipFile.OpenRead(file);
                var version = (string)Nuspec(package, "version").Single();
                Assert.All(
                    Nuspec(package, "dependency"),
                    dependency =>
                    {
                        var id = (string)dependency.Attribute("id")!;
                        Assert.DoesNotContain("libtorch", id, StringComparison.OrdinalIgnoreCase);
                        Assert.DoesNotContain("-cuda-", id, StringComparison.OrdinalIgnoreCase);
                        Assert.Equal(
                            id.StartsWith("GlmTune.", StringComparison.Ordinal),
                            (string)dependency.Attribute("version")! == $"[{version}]"
                        );
                    }
                );
            }
        );

    private static IEnumerable<XElement> Nuspec(ZipArchive package, string element)
    {
        using var stream = package
            .Entries.Single(entry => entry.Name.EndsWith(".nuspec", StringComparison.Ordinal))
            .Open();
        return [.. XDocument.Load(stream).Descendants().Where(found => found.Name.LocalName == element)];
    }

    private string[] Files(string extension) => [.. Directory.EnumerateFiles(samples.Packages, $"*.{extension}")];

    private IEnumerable<string> Names(string extension) =>
        Files(extension).Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal);

    private static string Library(string file) =>
        Path.GetFileName(file)[..Path.GetFileName(file).IndexOf(".0.0.0", StringComparison.Ordinal)];
}
