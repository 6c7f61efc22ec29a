using System.Text.RegularExpressions;

namespace GlmTune.Repository.Tests;

/// <summary>The repository speaks of itself, not of the machines that it was written on.</summary>
public sealed partial class OwnWordsTests
{
    [Fact]
    public void No_file_names_a_folder_or_a_package_feed_of_one_machine()
    {
        var found = Checkout.Files.SelectMany(file =>
            Foreign().Matches(Checkout.TextOrNull(file) ?? "").Select(match => $"{file}: {match.Value}")
        );
        Assert.Empty(found);
        Assert.DoesNotContain(
            Checkout.Files,
            file => Path.GetFileName(file).Equals("nuget.config", StringComparison.OrdinalIgnoreCase)
        );
    }

    [Theory]
    [InlineData("see " + "/root" + "/notes.txt", true)]
    [InlineData("\"" + "/home" + "/someone/model\"", true)]
    [InlineData("https://feed.example" + "/v3/" + "index.json", true)]
    [InlineData("src/root" + "/file.cs", false)]
    [InlineData("https://example.org/home" + "/page", false)]
    public void Folders_of_a_machine_are_told_from_other_paths(string text, bool foreign) =>
        Assert.Equal(foreign, Foreign().IsMatch(text));

    [GeneratedRegex(@"(?<![\w./}~-])/(?:root|home|work|Users)/|https?://\S+/v3/index\.json")]
    private static partial Regex Foreign();
}
