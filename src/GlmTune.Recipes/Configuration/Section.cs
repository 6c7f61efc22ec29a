using GlmTune.Files;

namespace GlmTune.Recipes.Configuration;

/// <summary>One mapping of a configuration file while it is read. Reading a key makes it known; keys never read are
/// reported as unknown at the end.</summary>
internal sealed class Section
{
    private readonly ConfigMap map;
    private readonly SourceLine at;
    private readonly ConfigReading reading;
    private readonly List<string> known = [];
    private readonly Dictionary<string, string> olderNames = [];

    public Section(ConfigMap map, string path, ConfigReading reading, SourceLine? at = null) =>
        (this.map, Path, this.reading, this.at) = (map, path, reading, at ?? map.At);

    /// <summary>The section's full name with dots; empty for the whole file.</summary>
    public string Path { get; }

    public IEnumerable<string> KnownNames => known;

    /// <summary>Accepts <paramref name="oldName"/> as another spelling of <paramref name="key"/>, which is read
    /// later.</summary>
    public void Rename(string oldName, string key)
    {
        known.Add(oldName);
        reading.Keys.Add(new RecipeKey(Full(oldName), $"`{key}`", RecipeKeyEffect.Honoured) { IsOlderName = true });
        if (!IsWritten(oldName))
        {
            return;
        }

        var (old, other) = (map.Find(oldName)!, map.Find(key));
        if (other?.At.Line == 0 && old.At.Line != 0)
        {
            return; // a command-line option takes precedence over the file, whichever name is used
        }

        if (IsWritten(key) && (other!.At.Line == 0 || old.At.Line != 0))
        {
            reading.Problems.Add(
                old.At,
                $"'{Full(oldName)}' is another name of '{key}', which is set too ({other.At}); remove one"
            );
            return;
        }

        // The tree stays unchanged, because it is read more than once.
        olderNames[key] = oldName;
    }

    /// <summary>Whether the key has a value other than null.</summary>
    public bool IsWritten(string key) => Entry(key) is { Value: not ConfigText { IsNull: true } };

    /// <summary>The value of a key, without making the key known.</summary>
    public ConfigNode? Peek(string key) => Entry(key)?.Value;

    /// <summary>Location of the key, or of the section if the key is missing.</summary>
    public SourceLine At(string key) => Entry(key)?.At ?? at;

    public string Full(string key) => Path.Length == 0 ? key : $"{Path}.{key}";

    public void Problem(string key, string text) => reading.Problems.Add(At(key), text);

    public void ProblemAt(SourceLine at, string text) => reading.Problems.Add(at, text);

    public void Note(string key, string text) => reading.Notes.Add($"{At(key)}: {text}");

    /// <summary>An integer.</summary>
    public long Whole(string key, long fallback, long least = 0, long most = long.MaxValue) =>
        WholeOrNull(key, least, most, Scalars.Write(fallback)) ?? fallback;

    /// <summary>A 32-bit integer.</summary>
    public int Int(string key, int fallback, int least = 0, int most = int.MaxValue) =>
        (int)Whole(key, fallback, least, most);

    /// <summary>A 32-bit integer; null if the key is not set.</summary>
    public int? IntOrNull(string key, int least = 0, int most = int.MaxValue, string fallback = "null") =>
        (int?)WholeOrNull(key, least, most, fallback);

    /// <summary>An integer; null if the key is not set.</summary>
    public long? WholeOrNull(string key, long least = 0, long most = long.MaxValue, string fallback = "null")
    {
        var range = most is long.MaxValue or int.MaxValue ? $"of at least {least}" : $"from {least} to {most}";
        return Read(
            key,
            fallback,
            $"a whole number {range}",
            node =>
                node is ConfigText text && Scalars.TryWhole(text.Text, out var value) && value >= least && value <= most
                    ? value
                    : (long?)null,
            new KeyShape(KeyKind.Whole) { Least = least, Most = most is long.MaxValue or int.MaxValue ? null : most }
        );
    }

    /// <summary>A number.</summary>
    public double Number(string key, double fallback, Bounds bounds) =>
        NumberOrNull(key, bounds, Scalars.Write(fallback)) ?? fallback;

    /// <summary>A number; null if the key is not set.</summary>
    public double? NumberOrNull(string key, Bounds bounds, string fallback = "null") =>
        Read(
            key,
            fallback,
            $"a number {bounds}",
            node =>
                node is ConfigText text && Scalars.TryNumber(text.Text, out var value) && bounds.Contains(value)
                    ? value
                    : (double?)null,
            new KeyShape(KeyKind.Number)
            {
                Least = double.IsFinite(bounds.Min) ? bounds.Min : null,
                Most = double.IsFinite(bounds.Max) ? bounds.Max : null,
            }
        );

    /// <summary>A Boolean.</summary>
    public bool Flag(string key, bool fallback) => FlagOrNull(key, Scalars.Write(fallback)) ?? fallback;

    /// <summary>A Boolean; null if the key is not set.</summary>
    public bool? FlagOrNull(string key, string fallback = "null") =>
        Read(
            key,
            fallback,
            "true or false",
            node => node is ConfigText text && Scalars.TryFlag(text.Text, out var value) ? value : (bool?)null,
            new KeyShape(KeyKind.Flag)
        );

    /// <summary>Whether the value is <c>auto</c>.</summary>
    public bool IsAuto(string key, string fallback = "auto", KeyKind otherwise = KeyKind.Other) =>
        Find(key, fallback, new KeyShape(otherwise) { TakesAuto = true }) is ConfigText text
        && text.Text.Equals("auto", StringComparison.OrdinalIgnoreCase);

    /// <summary>A number; null for <c>auto</c> or if the key is not set.</summary>
    public double? NumberOrAuto(string key, string fallback = "auto") =>
        IsAuto(key, fallback, KeyKind.Number) ? null : NumberOrNull(key, Bounds.NotNegative, fallback);

    /// <summary>An integer; null for <c>auto</c> or if the key is not set.</summary>
    public long? WholeOrAuto(string key, string fallback = "auto", long least = 0) =>
        IsAuto(key, fallback, KeyKind.Whole) ? null : WholeOrNull(key, least, fallback: fallback);

    /// <summary>A Boolean; null for <c>auto</c> or if the key is not set.</summary>
    public bool? FlagOrAuto(string key, string fallback = "auto") =>
        IsAuto(key, fallback, KeyKind.Flag) ? null : FlagOrNull(key, fallback);

    /// <summary>A non-empty text, or <paramref name="fallback"/>.</summary>
    public string? Text(string key, string? fallback = null) => Text(key, fallback, KeyKind.Text);

    /// <summary>A path of a file or folder, or <paramref name="fallback"/>; <c>~</c> at its start is the home
    /// folder.</summary>
    public string? FilePath(string key, string? fallback = null)
    {
        try
        {
            return Text(key, fallback, KeyKind.Path) is { } path ? HomePath.Expand(path) : null;
        }
        catch (InvalidDataException e)
        {
            Problem(key, $"'{Full(key)}' is {e.Message}");
            return fallback;
        }
    }

    /// <summary>One of several words, case-insensitive.</summary>
    public T Choice<T>(string key, T fallback, params IReadOnlyList<(string Word, T Value)> choices)
        where T : notnull
    {
        var words = choices.Select(choice => choice.Word).ToList();
        var node = Find(
            key,
            choices.First(choice => fallback.Equals(choice.Value)).Word,
            new KeyShape(KeyKind.Choice)
            {
                Words = [.. choices.DistinctBy(choice => choice.Value).Select(choice => choice.Word)],
            }
        );
        if (node is null)
        {
            return fallback;
        }

        var word = (node as ConfigText)?.Text ?? "";
        foreach (var choice in choices)
        {
            if (choice.Word.Equals(word, StringComparison.OrdinalIgnoreCase))
            {
                return choice.Value;
            }
        }

        var hint = Suggestion.Text(word, words);
        Problem(key, $"'{Full(key)}' is {node.Describe()}; expected one of {string.Join(", ", words)}{hint}");
        return fallback;
    }

    /// <summary>A list of texts; null if the key is not set. A single word is a list of one.</summary>
    public IReadOnlyList<string>? Texts(string key) =>
        Find(key, "null", new KeyShape(KeyKind.List)) is not { } node ? null
        : node is ConfigText { Text: var word } && word.Trim().Length > 0 ? [word.Trim()]
        : node is ConfigList list && list.Items.All(item => item is ConfigText { IsNull: false, Text.Length: > 0 })
            ? [.. list.Items.Select(item => ((ConfigText)item).Text)]
        : Wrong<IReadOnlyList<string>>(key, node, "a list of words");

    /// <summary>The value unchanged; null if the key is not set.</summary>
    public ConfigNode? Node(string key, string fallback = "null", KeyKind kind = KeyKind.Other) =>
        Find(key, fallback, new KeyShape(kind));

    /// <summary>The mapping under a key; empty if the key is not set.</summary>
    public Section Child(string key) => new(Mapping(key) ?? new ConfigMap(At(key)), Full(key), reading, At(key));

    /// <summary>The mapping under a key that was already read.</summary>
    public Section Reopen(string key) => new((ConfigMap)Entry(key)!.Value, Full(key), reading, At(key));

    /// <summary>The mapping under a key; null if the key is not set.</summary>
    public ConfigMap? Mapping(string key) =>
        Find(key, "", new KeyShape(KeyKind.Section)) is not { } node
            ? null
            : node as ConfigMap ?? Wrong<ConfigMap>(key, node, "a mapping of keys to values");

    /// <summary>A known key that has no effect here.</summary>
    public void NoEffect(string key, string reason)
    {
        Register(key, "", RecipeKeyEffect.None);
        if (IsWritten(key))
        {
            Note(key, $"'{Full(key)}' has no effect here: {reason}");
        }
    }

    /// <summary>An unsupported key that would change results: an error unless its value is off, empty, zero or
    /// <paramref name="neutral"/>.</summary>
    /// <param name="key">The key.</param>
    /// <param name="advice">What to do instead; may be empty.</param>
    /// <param name="neutral">A value that does not change results.</param>
    /// <param name="autoIsOff">Whether <c>auto</c> is also such a value.</param>
    public void Unsupported(string key, string advice, string neutral = "", bool autoIsOff = false)
    {
        Register(key, "", RecipeKeyEffect.Unsupported);
        if (IsWritten(key) && !IsNeutral(Entry(key)!.Value, neutral, autoIsOff))
        {
            Problem(key, $"'{Full(key)}' is not supported{(advice.Length == 0 ? "" : ": " + advice)}");
        }
    }

    /// <summary>The unknown keys of this section.</summary>
    public IEnumerable<string> UnknownKeys() =>
        map.Entries.Where(entry => !known.Contains(entry.Key) && !entry.IsRemoved).Select(entry => entry.Key);

    /// <summary>The known key that an unknown one was probably meant to be, as the end of a message; empty if none is
    /// similar.</summary>
    public string Hint(string key) => reading.Hint(Full(key), this);

    /// <summary>Notes keys that are comments or belong to another program, and therefore have no effect.</summary>
    /// <param name="ignored">Returns why an unknown key has no effect; null if it is not such a key.</param>
    public void NoEffect(Func<string, string?> ignored)
    {
        foreach (var key in UnknownKeys().ToList())
        {
            if (ignored(key) is { } reason)
            {
                known.Add(key);
                Note(key, $"'{Full(key)}' has no effect here: {reason}");
            }
        }
    }

    /// <summary>Reports every unknown key.</summary>
    public void End()
    {
        NoEffect(key => key.StartsWith('_') ? "a name that begins with _ is a comment" : null);
        foreach (var key in UnknownKeys())
        {
            reading.Unknown(At(key), Full(key), this);
        }
    }

    /// <summary>Reports that a value is not as expected.</summary>
    public T? Wrong<T>(string key, ConfigNode node, string expected)
    {
        Problem(key, $"'{Full(key)}' is {node.Describe()}; expected {expected}");
        return default;
    }

    private static bool IsNeutral(ConfigNode value, string neutral, bool autoIsOff) =>
        value switch
        {
            ConfigText text => text.Text.Equals(neutral, StringComparison.OrdinalIgnoreCase)
                || text.Text.Length == 0
                || (autoIsOff && text.Text.Equals("auto", StringComparison.OrdinalIgnoreCase))
                || (
                    Scalars.TryNumber(text.Text, out var number)
                    && (number == 0 || (Scalars.TryNumber(neutral, out var same) && number == same))
                )
                || (Scalars.TryFlag(text.Text, out var flag) && !flag),
            ConfigList list => list.Items.Count == 0,
            ConfigMap mapping => !mapping.Entries.Any()
                || (
                    mapping.Find("enabled")?.Value is ConfigText enabled
                    && (
                        (Scalars.TryFlag(enabled.Text, out var on) && !on)
                        || (autoIsOff && enabled.Text.Equals("auto", StringComparison.OrdinalIgnoreCase))
                    )
                ),
            _ => false,
        };

    private string? Text(string key, string? fallback, KeyKind kind) =>
        Find(key, Scalars.Write(fallback), new KeyShape(kind)) is not { } node ? fallback
        : node is ConfigText text && text.Text.Trim().Length > 0 ? text.Text
        : Wrong<string>(key, node, "a text");

    private void Register(string key, string fallback, RecipeKeyEffect effect, KeyShape? shape = null)
    {
        if (!known.Contains(key))
        {
            known.Add(key);
            reading.Keys.Add(new RecipeKey(Full(key), fallback, effect) { Shape = shape ?? KeyShape.Other });
        }
    }

    private ConfigNode? Find(string key, string fallback, KeyShape? shape = null)
    {
        Register(key, fallback, RecipeKeyEffect.Honoured, shape);
        if (!IsWritten(key))
        {
            return null;
        }

        reading.Written.Add(Full(key));
        return Entry(key)!.Value;
    }

    private ConfigEntry? Entry(string key) => map.Find(olderNames.GetValueOrDefault(key, key));

    /// <summary>A value of another type, converted by <paramref name="parse"/>, which returns null for invalid
    /// values.</summary>
    public T? Read<T>(string key, string fallback, string expected, Func<ConfigNode, T?> parse, KeyShape? shape = null)
        where T : struct
    {
        if (Find(key, fallback, shape) is not { } node)
        {
            return null;
        }

        return parse(node) ?? Wrong<T?>(key, node, expected);
    }
}
