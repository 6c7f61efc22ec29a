using System.Globalization;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads values of a DeepSpeed configuration that may be <c>auto</c>, and records how each was
/// resolved.</summary>
internal sealed class DeepSpeedValues(Recipe recipe)
{
    private readonly List<DeepSpeedSetting> settings = [];

    public IReadOnlyList<DeepSpeedSetting> Settings => settings;

    /// <summary>Records how a key was resolved, if the file has it or its absence is worth showing.</summary>
    public void Became(Section section, string key, string became, bool saysAbsent = false)
    {
        if (section.IsWritten(key))
        {
            settings.Add(new DeepSpeedSetting(section.Full(key), Written(section.Peek(key)!), became));
        }
        else if (saysAbsent)
        {
            settings.Add(new DeepSpeedSetting(section.Full(key), null, became));
        }
    }

    /// <summary>A number that must equal the recipe's unless it is <c>auto</c> or missing.</summary>
    public void Match(Section section, string key, double expected, string argument, bool saysAbsent = false)
    {
        if (section.NumberOrAuto(key, $"`training_args.{argument}`") is { } value && value != expected)
        {
            var note = recipe.Written.Contains($"training_args.{argument}") ? "" : ", its default";
            section.Problem(
                key,
                $"'{section.Full(key)}' is {Scalars.Write(value)}, but 'training_args.{argument}' is "
                    + $"{Scalars.Write(expected)}{note}; make them equal or write \"auto\""
            );
        }

        Became(section, key, Scalars.Write(expected), saysAbsent);
    }

    /// <summary>A Boolean that is used as written; <paramref name="idle"/> says why it has no effect, if so.</summary>
    public bool Flag(Section section, string key, bool fallback, string? idle = null)
    {
        var value = section.FlagOrAuto(key, Scalars.Write(fallback)) ?? fallback;
        Became(section, key, idle is null ? Scalars.Write(value) : $"no effect here: {idle}");
        return value;
    }

    /// <summary>A number of elements; <paramref name="idle"/> says why it has no effect, if so.</summary>
    public long Elements(Section section, string key, long fallback, long? auto, string? idle = null)
    {
        var written = Scalars.Write(fallback);
        var value = section.IsAuto(key, written)
            ? auto ?? fallback
            : section.WholeOrNull(key, fallback: written) ?? fallback;
        var count = value.ToString("#,0", CultureInfo.InvariantCulture);
        Became(section, key, idle is null ? $"{count} elements" : $"no effect here: {idle}");
        return value;
    }

    /// <summary>A key that has no effect here.</summary>
    public void Nothing(Section section, string key, string reason)
    {
        section.NoEffect(key, reason);
        Became(section, key, $"no effect here: {reason}");
    }

    /// <summary>An unsupported key that would change results; <c>auto</c> counts as off.</summary>
    public void NotSupported(Section section, string key, string advice, string neutral = "")
    {
        section.Unsupported(key, advice, neutral, autoIsOff: true);
        Became(section, key, "off");
    }

    /// <summary>Ends a section: comments are ignored, other unknown keys reported.</summary>
    public void End(Section section)
    {
        Ignore(section, key => key.StartsWith('_') ? "a name that begins with _ is a comment" : null);
        section.End();
    }

    /// <summary>Ends the file. DeepSpeed ignores unknown top-level keys, so they are only noted, except for likely
    /// misspellings.</summary>
    public void EndFile(Section root)
    {
        Ignore(
            root,
            key =>
                !key.StartsWith('_') && root.Hint(key).Length == 0
                    ? "it is not a key of a DeepSpeed file, and DeepSpeed ignores it too"
                    : null
        );
        End(root);
    }

    private void Ignore(Section section, Func<string, string?> reasonOf)
    {
        foreach (var key in section.UnknownKeys().ToList())
        {
            if (reasonOf(key) is { } reason)
            {
                Nothing(section, key, reason);
            }
        }
    }

    private static string Written(ConfigNode node) =>
        node switch
        {
            ConfigText text => text.Text,
            ConfigList => "[…]",
            _ => "{…}",
        };
}
