namespace GlmTune.Recipes.Configuration;

/// <summary>A location in configuration: a line of a file (from 1), or, with line 0, a command-line option.</summary>
internal sealed record SourceLine(string Source, int Line)
{
    public override string ToString() => Line == 0 ? Source : $"{Source}, line {Line}";
}

/// <summary>A value in a configuration file with its location; YAML and JSON give the same tree.</summary>
internal abstract class ConfigNode(SourceLine at)
{
    public SourceLine At { get; } = at;

    /// <summary>The value as error messages name it.</summary>
    public abstract string Describe();
}

/// <summary>A scalar. Its type is decided by its reader; quotes only keep a text from meaning null.</summary>
internal sealed class ConfigText(string text, bool isQuoted, SourceLine at) : ConfigNode(at)
{
    public string Text { get; } = text;

    public bool IsNull => !isQuoted && Text is "" or "~" or "null" or "Null" or "NULL";

    public override string Describe() => IsNull ? "null" : $"'{Text}'";
}

internal sealed class ConfigList(IReadOnlyList<ConfigNode> items, SourceLine at) : ConfigNode(at)
{
    public IReadOnlyList<ConfigNode> Items { get; } = items;

    public override string Describe() => "a list";
}

internal sealed class ConfigMap(SourceLine at) : ConfigNode(at)
{
    private readonly OrderedDictionary<string, ConfigEntry> entries = [];

    public IEnumerable<ConfigEntry> Entries => entries.Values;

    public ConfigEntry? Find(string key) => entries.GetValueOrDefault(key);

    public void Set(ConfigEntry entry) => entries[entry.Key] = entry;

    public override string Describe() => "a mapping";
}

/// <summary>A key of a mapping, with its location and value.</summary>
/// <param name="Key">The name.</param>
/// <param name="At">Location of the key.</param>
/// <param name="Value">Its value.</param>
/// <param name="IsRemoved">Whether a command-line option removed it.</param>
internal sealed record ConfigEntry(string Key, SourceLine At, ConfigNode Value, bool IsRemoved = false);
