using System.Text.Unicode;
using GlmTune.Files;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>Reads a recipe from a YAML file with the keys of the GLM-4 fine-tuning demo.</summary>
public static class RecipeFile
{
    private const int MaxBytes = 4 << 20;

    private static readonly Lazy<IReadOnlyList<RecipeKey>> AllKeys = new(FindKeys);

    /// <summary>Every known key, including those of both adapter kinds.</summary>
    public static IReadOnlyList<RecipeKey> Keys => AllKeys.Value;

    /// <summary>Reads a recipe and the DeepSpeed file that it names.</summary>
    /// <param name="path">Path of the YAML file.</param>
    /// <param name="overrides">Settings that override the file, each <c>section.key=value</c>; the last one for a key
    /// wins.</param>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    /// <exception cref="InvalidDataException">The file, an override or the DeepSpeed file has problems; the message has
    /// one line for each.</exception>
    public static Recipe Read(string path, IReadOnlyList<string>? overrides = null)
    {
        var (recipe, problems) = TryRead(path, overrides);
        problems.Throw();
        return recipe!;
    }

    /// <summary>Reads a recipe from a text.</summary>
    /// <param name="text">The YAML text.</param>
    /// <param name="path">Its origin: errors name this file, and a DeepSpeed file is looked up beside it.</param>
    /// <param name="overrides">Settings that override the text, each <c>section.key=value</c>.</param>
    /// <exception cref="InvalidDataException">As for <see cref="Read(string, IReadOnlyList{string}?)"/>.</exception>
    public static Recipe Read(TextReader text, string path, IReadOnlyList<string>? overrides = null)
    {
        var (recipe, problems) = TryRead(text, path, overrides);
        problems.Throw();
        return recipe!;
    }

    /// <summary>Reads a text and collects its problems, as for a file.</summary>
    internal static (Recipe? Recipe, Problems Problems) TryReadText(string text, string path)
    {
        using var reader = new StringReader(text);
        return TryRead(reader, path, null);
    }

    /// <summary>Reads a recipe and collects its problems. Invalid values are replaced by defaults; the result is null
    /// if the file is not a YAML mapping.</summary>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    internal static (Recipe? Recipe, Problems Problems) TryRead(string path, IReadOnlyList<string>? overrides)
    {
        path = HomePath.Expand(path);
        if (!File.Exists(path))
        {
            throw new FileNotFoundException(
                NearbyNames.MissingFile(path, "expected a recipe such as configs/lora.yaml", "*.y*ml"),
                path
            );
        }

        if (new FileInfo(path).Length > 0)
        {
            FileContent.Check(path);
        }

        using var text = new StreamReader(new MemoryStream(ReadUnicode(path)));
        return TryRead(text, path, overrides);
    }

    // UTF-8, or UTF-16 with its mark: elsewhere a name in another encoding would silently become another name.
    private static byte[] ReadUnicode(string path)
    {
        var bytes = RegularFile.ReadBytes(path, MaxBytes);
        return bytes is [0xFF, 0xFE, ..] or [0xFE, 0xFF, ..] || Utf8.IsValid(bytes)
            ? bytes
            : throw new InvalidDataException($"{path}: is not valid UTF-8; it may be GBK. Save it as UTF-8.");
    }

    private static (Recipe? Recipe, Problems Problems) TryRead(
        TextReader text,
        string path,
        IReadOnlyList<string>? overrides
    )
    {
        var reading = new ConfigReading();
        var tree = YamlTree.Read(text, Path.GetFileName(path), reading.Problems);
        if (!reading.Problems.IsEmpty)
        {
            return (null, reading.Problems);
        }

        if (tree is not ConfigMap map)
        {
            reading.Problems.Add(
                tree!.At,
                $"the file is {tree.Describe()}; expected keys such as data_config and training_args"
            );
            return (null, reading.Problems);
        }

        Overrides.Apply(map, overrides ?? [], reading.Problems);
        var recipe = Read(map, reading, Path.GetDirectoryName(Path.GetFullPath(path))!);
        reading.ReportUnknownKeys(KeysOfOtherAdapters(recipe));
        recipe.DeepSpeed?.FindContradictions(recipe, reading.Problems);
        return (
            recipe with
            {
                Notes = reading.Notes,
                Written = reading.Written,
                Settings = Settings(map, "")
                    .Where(setting =>
                        reading.Written.Contains(setting.Key)
                        && !reading.Written.Any(other => other.StartsWith(setting.Key + ".", StringComparison.Ordinal))
                    )
                    .ToDictionary(setting => setting.Key, setting => setting.Value),
            },
            reading.Problems
        );
    }

    private static IEnumerable<KeyValuePair<string, string>> Settings(ConfigMap map, string prefix) =>
        map.Entries.SelectMany(entry =>
            entry.Value is ConfigMap inner
                ? Settings(inner, $"{prefix}{entry.Key}.").Prepend(new(prefix + entry.Key, Written(inner)))
                : [new(prefix + entry.Key, Written(entry.Value))]
        );

    private static string Written(ConfigNode node) =>
        node switch
        {
            ConfigText text => text.Text,
            ConfigList list => $"[{string.Join(", ", list.Items.Select(Written))}]",
            ConfigMap map =>
                $"{{{string.Join(", ", map.Entries.Select(entry => $"{entry.Key}: {Written(entry.Value)}"))}}}",
            _ => "",
        };

    private static Recipe Read(ConfigMap map, ConfigReading reading, string folder)
    {
        var root = new Section(map, "", reading);
        var data = DataSection.Read(root);
        var arguments = root.Child("training_args");
        var recipe = new Recipe
        {
            Data = data,
            Training = TrainingSection.Read(root, arguments),
            Optimizer = OptimizationSection.ReadOptimizer(arguments),
            Schedule = OptimizationSection.ReadSchedule(arguments),
            Generation = GenerationSection.Read(arguments),
            ResumeFrom = arguments.FilePath("resume_from_checkpoint"),
            DeepSpeed = DeepSpeedFile.Find(arguments, folder, reading.Problems),
            Written = reading.Written,
            TakesBFloat16ForHalf = TrainingSection.AsksForHalf(arguments),
        };
        ForeignArguments.Read(arguments);
        var (lora, prefix) = AdapterSection.Read(root);
        recipe = RecipeChecks.Run(recipe with { Lora = lora, Prefix = prefix }, arguments);
        arguments.End();
        ForeignArguments.ReadTrackers(root);
        root.End();
        return recipe;
    }

    private static IEnumerable<(RecipeKey, string)> KeysOfOtherAdapters(Recipe recipe)
    {
        var other =
            recipe.Lora is not null ? AdapterSection.Prefix
            : recipe.Prefix is not null ? AdapterSection.Lora
            : null;
        return other is null ? [] : AdapterKeys(other).Select(key => (key, $"of peft_type {other}"));
    }

    /// <summary>The keys of <c>peft_config</c> that one <c>peft_type</c> has.</summary>
    internal static IReadOnlyList<RecipeKey> AdapterKeys(string type)
    {
        var reading = new ConfigReading();
        var section = new Section(new ConfigMap(new SourceLine("", 0)), "peft_config", reading);
        _ = type == AdapterSection.Lora ? (object)AdapterSection.ReadLora(section) : AdapterSection.ReadPrefix(section);
        return reading.Keys;
    }

    private static List<RecipeKey> FindKeys()
    {
        var reading = new ConfigReading();
        Read(new ConfigMap(new SourceLine("", 0)), reading, "");
        return
        [
            .. reading.Keys,
            new("peft_config.peft_type", "null", RecipeKeyEffect.Honoured)
            {
                Shape = new KeyShape(KeyKind.Choice) { Words = [AdapterSection.Lora, AdapterSection.Prefix] },
            },
            new("peft_config.task_type", "CAUSAL_LM", RecipeKeyEffect.Honoured)
            {
                Shape = new KeyShape(KeyKind.Choice) { Words = ["CAUSAL_LM"] },
            },
            .. AdapterKeys(AdapterSection.Lora).UnionBy(AdapterKeys(AdapterSection.Prefix), key => key.Path),
        ];
    }
}
