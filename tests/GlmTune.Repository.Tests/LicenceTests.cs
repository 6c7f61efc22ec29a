using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace GlmTune.Repository.Tests;

/// <summary>Every package is listed with its licence.</summary>
public sealed partial class LicenceTests
{
    // Those that may be used beside Apache-2.0 without further duties than to name them.
    private static readonly string[] Known = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"];

    // Used by tests alone, and not changed.
    private static readonly HashSet<string> TestsOnly = ["Deque.AxeCore.Commons"];

    [Fact]
    public void NOTICE_lists_the_packages_that_the_projects_refer_to_and_their_licences()
    {
        var listed = Row()
            .Matches(Checkout.Text("NOTICE"))
            .ToDictionary(row => row.Groups["package"].Value, row => row.Groups["licence"].Value);
        Assert.Equal(
            XDocument
                .Parse(Checkout.Text("Directory.Packages.props"))
                .Descendants("PackageVersion")
                .Select(package => package.Attribute("Include")!.Value)
                .Order(StringComparer.OrdinalIgnoreCase),
            listed.Keys
        );
        Assert.All(listed, row => Assert.True(Known.Contains(row.Value) || TestsOnly.Contains(row.Key), $"{row}"));
    }

    [GeneratedRegex(@"^(?<package>[A-Za-z][\w.\-]*) {2,}(?<licence>\S+)$", RegexOptions.Multiline)]
    private static partial Regex Row();
}
