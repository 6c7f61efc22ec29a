namespace GlmTune.Recipes.Configuration;

/// <summary>Where something is written: a line of a file (from 1), or, with line 0, an option of the command
/// line.</summary>
internal sealed record SourceLine(string Source, int Line)
{
    public override string ToString() => Line == 0 ? Source : $"{Source}, line {Line}";
}

/// <summary>A value of a configuration file with its place; YAML and JSON give the same tree.</summary>
internal abstract class ConfigNode(SourceLine at)
{
    public SourceLine At { get; } = at;

    /// <summary>The value as an error names it.</summary>
    public abstract string Describe();
}

/// <summary>A single value. What type it has is decided by who reads it; quotes only keep a text from meaning
/// null.</summary>
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

/// <summary>One key of a mapping, where the key stands, and its value.</summary>
/// <param name="Key">The name.</param>
/// <param name="At">Where the key stands.</param>
/// <param name="Value">What is written for it.</param>
/// <param name="IsRemoved">Whether an option of the command line took it out of the file.</param>
internal sealed record ConfigEntry(string Key, SourceLine At, ConfigNode Value, bool IsRemoved = false);
