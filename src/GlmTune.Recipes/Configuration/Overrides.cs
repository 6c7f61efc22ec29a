namespace GlmTune.Recipes.Configuration;

/// <summary>Applies <c>section.key=value</c> options of the command line to a recipe's tree before it is
/// read.</summary>
internal static class Overrides
{
    public static void Apply(ConfigMap root, IEnumerable<string> options, Problems problems)
    {
        foreach (var option in options)
        {
            var at = new SourceLine($"--set {option}", 0);
            var equals = option.IndexOf('=', StringComparison.Ordinal);
            var path = equals < 0 ? [] : option[..equals].Split('.', StringSplitOptions.TrimEntries);
            if (path.Length == 0 || path.Any(part => part.Length == 0))
            {
                problems.Add(at, "expected KEY=VALUE, such as training_args.max_steps=20");
                continue;
            }

            if (Value(option[(equals + 1)..].Trim(), at, problems) is { } value)
            {
                Set(root, path, value, at, problems);
            }
        }
    }

    private static void Set(ConfigMap map, string[] path, ConfigNode value, SourceLine at, Problems problems)
    {
        for (var i = 0; i < path.Length - 1; i++)
        {
            var entry = map.Find(path[i]);
            if (entry is null || entry.Value is ConfigText { IsNull: true })
            {
                entry = new ConfigEntry(path[i], entry?.At ?? at, new ConfigMap(at));
                map.Set(entry);
            }

            if (entry.Value is not ConfigMap inner)
            {
                problems.Add(
                    at,
                    $"'{string.Join('.', path[..(i + 1)])}' is {entry.Value.Describe()} ({entry.At}) and "
                        + "has no keys"
                );
                return;
            }

            map = inner;
        }

        var removes = value is ConfigText { IsNull: true } && map.Find(path[^1]) is not null;
        map.Set(new ConfigEntry(path[^1], at, value, removes));
    }

    /// <summary>Quoted texts, lists and mappings are parsed as YAML; anything else is taken literally.</summary>
    private static ConfigNode? Value(string text, SourceLine at, Problems problems)
    {
        if (text.Length == 0 || !"[{'\"".Contains(text[0], StringComparison.Ordinal))
        {
            return new ConfigText(text, isQuoted: false, at);
        }

        return YamlTree.Read(new StringReader(text), at.Source, problems, fixedLine: 0);
    }
}
