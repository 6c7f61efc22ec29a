namespace GlmTune.Recipes.Configuration;

/// <summary>What is collected while reading a configuration file, apart from the options: problems, notes, and known
/// keys.</summary>
internal sealed class ConfigReading(Problems? problems = null)
{
    private readonly List<(SourceLine At, string Path, Section Section)> unknown = [];

    public Problems Problems { get; } = problems ?? new Problems();

    /// <summary>Notes for the user.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Every known key, in the order in which keys were read.</summary>
    public List<RecipeKey> Keys { get; } = [];

    /// <summary>The full names of all honoured keys that have a value in the file.</summary>
    public HashSet<string> Written { get; } = [];

    public void Unknown(SourceLine at, string path, Section section) => unknown.Add((at, path, section));

    /// <summary>Reports unknown keys. Call it after everything has been read, because a misplaced key may belong to
    /// another section.</summary>
    /// <param name="otherKeys">Known keys that do not apply to this file, each with the condition under which it
    /// does.</param>
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

    /// <summary>The known key that an unknown one was probably meant to be, as the end of a message; empty if none is
    /// similar.</summary>
    public string Hint(string path, Section section)
    {
        var name = path[(path.LastIndexOf('.') + 1)..];
        var elsewhere = Keys.Find(key => key.Effect == RecipeKeyEffect.Honoured && key.Name == name);
        return elsewhere is null ? Suggestion.Text(name, section.KnownNames) : $"; did you mean '{elsewhere.Path}'?";
    }
}
