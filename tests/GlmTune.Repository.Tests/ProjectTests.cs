using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace GlmTune.Repository.Tests;

/// <summary>The solution holds every project, and projects refer to each other as the map says.</summary>
public sealed partial class ProjectTests
{
    // The samples use the packages and have a solution of their own.
    private static readonly string[] Projects =
    [
        .. Checkout.Files.Where(file =>
            file.EndsWith(".csproj", StringComparison.Ordinal) && !file.StartsWith("samples/", StringComparison.Ordinal)
        ),
    ];

    [Fact]
    public void The_solution_holds_every_project() =>
        Assert.Equal(Projects, Included("GlmTune.slnx", "Project", "Path").Order(StringComparer.Ordinal));

    [Fact]
    public void Every_source_project_has_a_test_project() =>
        Assert.All(
            Projects
                .Where(file => file.StartsWith("src/", StringComparison.Ordinal))
                .Select(Path.GetFileNameWithoutExtension),
            name => Assert.Contains($"tests/{name}.Tests/{name}.Tests.csproj", Projects)
        );

    [Fact]
    public void Versions_stand_in_one_place() =>
        Assert.All(
            Projects,
            file =>
                Assert.DoesNotContain(
                    XDocument.Parse(Checkout.Text(file)).Descendants("PackageReference"),
                    reference => reference.Attribute("Version") is not null
                )
        );

    [Fact]
    public void Samples_and_messages_name_the_versions_of_the_packages()
    {
        var samples = XDocument.Parse(Checkout.Text("samples/Directory.Build.props"));
        var own = XDocument.Parse(Checkout.Text("Directory.Build.props")).Descendants("Version").Single().Value;
        Assert.Equal(own, samples.Descendants("GlmTuneVersion").Single().Value);
        var named = Versions(samples, "PackageReference");
        Assert.NotEmpty(named);
        Assert.Equal(Versions(XDocument.Parse(Checkout.Text("Directory.Packages.props")), "PackageVersion"), named);
        var runtime = Checkout.Text("src/GlmTune.Kernels/Native/NativeRuntime.cs");
        Assert.All(
            named,
            package =>
            {
                Assert.Contains($"\"{package.Name}\"", runtime, StringComparison.Ordinal);
                Assert.Contains($"PackageVersion = \"{package.Version}\"", runtime, StringComparison.Ordinal);
            }
        );

        static (string Name, string Version)[] Versions(XDocument file, string element) =>
            [
                .. file.Descendants(element)
                    .Select(package => (package.Attribute("Include")!.Value, package.Attribute("Version")!.Value))
                    .Where(package => package.Item1.StartsWith("libtorch-cpu-", StringComparison.Ordinal)),
            ];
    }

    [Fact]
    public void No_package_is_a_prerelease() =>
        Assert.All(
            XDocument.Parse(Checkout.Text("Directory.Packages.props")).Descendants("PackageVersion"),
            package => Assert.DoesNotContain('-', package.Attribute("Version")!.Value)
        );

    [Fact]
    public void The_map_lists_the_references_of_every_source_project()
    {
        var map = MapRow()
            .Matches(Checkout.Text("ARCHITECTURE.md"))
            .ToDictionary(
                row => row.Groups["project"].Value,
                row =>
                    row.Groups["needs"]
                        .Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                        .Order()
            );
        var sources = Projects.Where(file => file.StartsWith("src/", StringComparison.Ordinal)).ToArray();
        Assert.Equal(sources.Select(Short).Order(), map.Keys.Order());
        Assert.All(
            sources,
            file => Assert.Equal(Included(file, "ProjectReference", "Include").Select(Short).Order(), map[Short(file)])
        );
    }

    [Fact]
    public void The_map_names_what_there_is()
    {
        var words = Checkout
            .Files.Where(file =>
                file.StartsWith("src/", StringComparison.Ordinal) && file.EndsWith(".cs", StringComparison.Ordinal)
            )
            .SelectMany(file => Word().Matches(Checkout.Text(file)).Select(word => word.Value))
            .ToHashSet();
        Assert.All(
            new MarkdownPage("ARCHITECTURE.md")
                .InlineCode.Where(name => TypeOrMember().IsMatch(name))
                .SelectMany(name => name.Split('.')),
            name => Assert.Contains(name, words)
        );
    }

    [Theory]
    [InlineData("learning-rate schedule"), InlineData("optimizer"), InlineData("CUDA kernel"), InlineData("collective")]
    [InlineData("model family"), InlineData("adapter"), InlineData("data converter"), InlineData("tool-call style")]
    [InlineData("recipe key"), InlineData("manifest"), InlineData("metric"), InlineData("HTTP field")]
    [InlineData("CLI command")]
    public void The_map_says_where_to_change_what(string what)
    {
        var row = Assert.Single(
            Checkout
                .Text("ARCHITECTURE.md")
                .Split("\n## ")
                .Single(part => part.StartsWith("Where to", StringComparison.Ordinal))
                .Split('\n'),
            line => line.Split('|') is [_, var first, ..] && first.Contains(what, StringComparison.Ordinal)
        );
        var code = InlineCode().Matches(row).Select(match => match.Groups[1].Value).ToArray();
        var paths = code.Where(text => text.Contains('/', StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(paths);
        Assert.All(paths, path => Assert.True(Checkout.Has(path), path));
        Assert.All(
            code.Except(paths).Where(text => text.EndsWith(".cs", StringComparison.Ordinal)),
            name =>
                Assert.Contains(
                    paths,
                    path => Checkout.Has($"{path}/{name}") || Checkout.Has($"{Path.GetDirectoryName(path)}/{name}")
                )
        );
    }

    [Fact]
    public void A_model_family_is_named_in_its_folder_and_in_the_list_of_families_alone()
    {
        string[] sources =
        [
            .. Checkout.Files.Where(file =>
                file.StartsWith("src/", StringComparison.Ordinal) && file.EndsWith(".cs", StringComparison.Ordinal)
            ),
        ];
        var folders = sources
            .Where(file => FamilyFile().IsMatch(file))
            .Select(file => file[..(file.LastIndexOf('/') + 1)])
            .ToArray();
        Assert.NotEmpty(folders);
        bool IsOfFamily(string file) => folders.Any(folder => file.StartsWith(folder, StringComparison.Ordinal));
        var types = sources
            .Where(IsOfFamily)
            .SelectMany(file => DeclaredType().Matches(Checkout.Text(file)).Select(found => found.Groups[1].Value))
            .ToHashSet();
        Assert.All(
            sources.Where(file => !IsOfFamily(file) && file != "src/GlmTune.Model/ModelFamilies.cs"),
            file => Assert.DoesNotContain(Word().Matches(Checkout.Text(file)), word => types.Contains(word.Value))
        );
    }

    private static IEnumerable<string> Included(string file, string element, string attribute) =>
        XDocument.Parse(Checkout.Text(file)).Descendants(element).Select(found => found.Attribute(attribute)!.Value);

    private static string Short(string file) => Path.GetFileNameWithoutExtension(file)["GlmTune.".Length..];

    [GeneratedRegex(@"^src/GlmTune\.Model/\w+/\w+Family\.cs$")]
    private static partial Regex FamilyFile();

    [GeneratedRegex(@"^(?:public|internal) (?:[a-z]+ )*(?:class|record|struct|enum) (\w+)", RegexOptions.Multiline)]
    private static partial Regex DeclaredType();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex InlineCode();

    [GeneratedRegex(@"\w+")]
    private static partial Regex Word();

    [GeneratedRegex(@"^[A-Z]\w+(\.[A-Z]\w+)?$")]
    private static partial Regex TypeOrMember();

    // | `Model` | Weights, Kernels | what it is |
    [GeneratedRegex(@"^\| `(?<project>\w+)` \|(?<needs>[\w, ]*)\|", RegexOptions.Multiline)]
    private static partial Regex MapRow();
}
