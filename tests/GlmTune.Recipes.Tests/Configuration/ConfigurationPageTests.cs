using System.Text.RegularExpressions;

namespace GlmTune.Recipes.Tests.Configuration;

/// <summary>Keeps <c>docs/configuration.md</c> true: what is documented is what is read.</summary>
public partial class ConfigurationPageTests
{
    private const string DeepSpeed = "DeepSpeed files";

    /// <summary>Text of the page by heading; the heading is the path of the keys under it.</summary>
    private static readonly Dictionary<string, string> Sections = File.ReadAllText(
            RepositoryFolder.Of("docs", "configuration.md")
        )
        .Split("\n##")
        .Skip(1)
        .ToDictionary(section => section.Split('\n')[0].Trim('#', ' ', '`'), section => section);

    [Fact]
    public void Every_honoured_key_has_a_row_with_its_default()
    {
        var missing = new List<string>();
        foreach (var (key, section, name) in Places().Where(place => place.Key.Effect == RecipeKeyEffect.Honoured))
        {
            var row = Rows(section).FirstOrDefault(row => row.Name == name);
            if (row == default || row.Default != Plain(key.Default))
            {
                missing.Add($"{key.Path} | {key.Default} | found: {row.Default}");
            }
        }

        Assert.Empty(missing);
    }

    [Theory]
    [InlineData(RecipeKeyEffect.None, "No effect:")]
    [InlineData(RecipeKeyEffect.Unsupported, "Not supported:")]
    public void Every_other_key_is_listed_by_what_it_does(RecipeKeyEffect effect, string heading)
    {
        var missing = new List<string>();
        foreach (var (key, section, _) in Places().Where(place => place.Key.Effect == effect))
        {
            if (!Listed(section, heading).Contains($"`{key.Name}`", StringComparison.Ordinal))
            {
                missing.Add(key.Path);
            }
        }

        Assert.Empty(missing);
    }

    [Theory]
    [InlineData("No effect:")]
    [InlineData("Not supported:")]
    public void No_honoured_key_is_listed_as_without_effect_or_unsupported(string heading)
    {
        var listed = Places()
            .Where(place => place.Section != DeepSpeed && place.Key.Effect == RecipeKeyEffect.Honoured)
            .Where(place => Listed(place.Section, heading).Contains($"`{place.Name}`", StringComparison.Ordinal))
            .Select(place => place.Key.Path);
        Assert.Empty(listed);
    }

    [Fact]
    public void Every_documented_row_is_a_key()
    {
        var keys = Places().Select(place => (place.Section, place.Name)).ToHashSet();
        var unknown = Sections
            .Keys.SelectMany(section => Rows(section).Select(row => (section, row.Name)))
            .Where(row => !keys.Contains(row));
        Assert.Empty(unknown);
    }

    private static string Listed(string section, string heading)
    {
        var start = Sections[section].IndexOf(heading, StringComparison.Ordinal);
        return start < 0 ? "" : Sections[section][start..].Split("\n\n")[0];
    }

    private static IEnumerable<(RecipeKey Key, string Section, string Name)> Places()
    {
        foreach (var key in RecipeFile.Keys)
        {
            var parent = key.Path.Contains('.', StringComparison.Ordinal)
                ? key.Path[..key.Path.LastIndexOf('.')]
                : "Whole file";
            yield return (key, parent, key.Name);
        }

        foreach (var key in DeepSpeedFile.Keys)
        {
            yield return (key, DeepSpeed, key.Path);
        }
    }

    private static IEnumerable<(string Name, string Default)> Rows(string section) =>
        RowPattern()
            .Matches(Sections.GetValueOrDefault(section, ""))
            .Select(match => (match.Groups[1].Value, Plain(match.Groups[2].Value)));

    private static string Plain(string cell) =>
        cell.Replace("`", "", StringComparison.Ordinal).Replace(@"\|", "|", StringComparison.Ordinal).Trim();

    [GeneratedRegex(@"^\| `([^`]+)` \|((?:[^|\\]|\\.)*)\|", RegexOptions.Multiline)]
    private static partial Regex RowPattern();
}
