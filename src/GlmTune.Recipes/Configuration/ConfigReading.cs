namespace GlmTune.Recipes.Configuration;

/// <summary>What reading one configuration file gathers besides the options: problems, notes, and the keys there
/// are.</summary>
internal sealed class ConfigReading(Problems? problems = null)
{
    private readonly List<(SourceLine At, string Path, Section Section)> unknown = [];

    public Problems Problems { get; } = problems ?? new Problems();

    /// <summary>What somebody should know though it is no error.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Every key that was asked for, in that order.</summary>
    public List<RecipeKey> Keys { get; } = [];

    /// <summary>The full names of all honoured keys that have a value in the file.</summary>
    public HashSet<string> Written { get; } = [];

    public void Unknown(SourceLine at, string path, Section section) => unknown.Add((at, path, section));

    /// <summary>Reports the keys that nobody asked for; to be called when everything has been read, since a key may
    /// belong to another section.</summary>
    /// <param name="otherKeys">Keys that exist but were not asked for, with a word on when they count.</param>
    public void ReportUnknownKeys(IEnumerable<(RecipeKey Key, string When)> otherKeys)
    {
        var others = otherKeys.ToList();
        foreach (var (at, path, section) in unknown)
        {
            var conditional = others.Find(other => other.Key.Path == path);
            var hint = conditional.Key is not null ? $"; it is a key {conditional.When}" : Hint(path, section);
            Problems.Add(at, $"unknown key '{path}'{hint}");
        }
    }

    /// <summary>Which known key somebody may have meant by an unknown one, as the end of a message; empty when none is
    /// near.</summary>
    public string Hint(string path, Section section)
    {
        var name = path[(path.LastIndexOf('.') + 1)..];
        var elsewhere = Keys.Find(key => key.Effect == RecipeKeyEffect.Honoured && key.Name == name);
        return elsewhere is null ? Suggestion.Text(name, section.KnownNames) : $"; did you mean '{elsewhere.Path}'?";
    }
}
