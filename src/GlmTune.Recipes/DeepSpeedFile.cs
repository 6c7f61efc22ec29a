using GlmTune.Files;
using GlmTune.Recipes.Configuration;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes;

/// <summary>A DeepSpeed configuration: a JSON file, or a mapping inside a recipe.</summary>
/// <remarks>Immutable. Its values are checked when it is resolved, because <c>auto</c> depends on the recipe, the model
/// and the world size.</remarks>
internal sealed class DeepSpeedFile
{
    private static readonly Lazy<IReadOnlyList<RecipeKey>> AllKeys = new(FindKeys);
    private readonly ConfigMap map;
    private readonly string path;

    private DeepSpeedFile(ConfigMap map, string path) => (this.map, this.path) = (map, path);

    /// <summary>Every known key.</summary>
    public static IReadOnlyList<RecipeKey> Keys => AllKeys.Value;

    /// <summary>Path of the file; that of the recipe if the recipe contains the configuration.</summary>
    public string Source => map.At.Source;

    /// <summary>Reads a JSON file.</summary>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    /// <exception cref="InvalidDataException">The file is not JSON, has a duplicate key, or is not an
    /// object.</exception>
    public static DeepSpeedFile Read(string path)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException(
                $"{path}: file not found; expected a DeepSpeed configuration such as configs/ds_zero_2.json",
                path
            );
        }

        var problems = new Problems();
        var file = Read(path, problems);
        problems.Throw();
        return file!;
    }

    /// <summary>Resolves every key for a recipe, a model and a world size.</summary>
    /// <param name="recipe">The recipe that names this configuration.</param>
    /// <param name="hiddenSize">The model's hidden size.</param>
    /// <param name="worldSize">Number of ranks; at least 1.</param>
    /// <exception cref="InvalidDataException">Keys are unknown, invalid or contradict the recipe; the message has one
    /// line for each.</exception>
    public DeepSpeedPlan Resolve(Recipe recipe, int hiddenSize, int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(hiddenSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        var problems = new Problems();
        var plan = Resolve(recipe, hiddenSize, worldSize, problems);
        problems.Throw();
        return plan;
    }

    /// <summary>The configuration that <c>training_args.deepspeed</c> names or contains; null if there is
    /// none.</summary>
    internal static DeepSpeedFile? Find(Section arguments, string folder, Problems problems)
    {
        const string key = "deepspeed";
        if (arguments.Node(key, kind: KeyKind.Path) is not { } node)
        {
            return null;
        }

        if (node is not ConfigText name)
        {
            return node is ConfigMap map
                ? new DeepSpeedFile(map, arguments.Full(key))
                : arguments.Wrong<DeepSpeedFile>(key, node, "the path of a DeepSpeed file, or its keys");
        }

        var written = arguments.FilePath(key)!;
        string[] places = [written, Path.Combine(folder, written), Path.Combine(folder, "..", written)];
        if (Array.Find(places, File.Exists) is { } path)
        {
            return Read(path, problems);
        }

        arguments.Problem(
            key,
            $"'{arguments.Full(key)}' is '{name.Text}', which was not found in the working folder, next to "
                + "the recipe or in the folder above"
        );
        return null;
    }

    /// <summary>Checks everything that depends neither on the model nor on the world size.</summary>
    internal void FindContradictions(Recipe recipe, Problems problems) => Resolve(recipe, null, null, problems);

    private static DeepSpeedFile? Read(string path, Problems problems)
    {
        var source = Path.GetFileName(path);
        if (new FileInfo(path).Length > 0 && FileContent.FindProblem(path) is { } wrong)
        {
            problems.Add(new SourceLine(source, 1), wrong.TrimEnd('.'));
            return null;
        }

        switch (JsonTree.Read(RegularFile.ReadBytes(path), source, problems))
        {
            case ConfigMap map:
                return new DeepSpeedFile(map, "");
            case { } other:
                problems.Add(
                    other.At,
                    $"the file is {other.Describe()}; expected an object with keys such as zero_optimization"
                );
                return null;
            default:
                return null;
        }
    }

    private static List<RecipeKey> FindKeys()
    {
        var reading = new ConfigReading();
        var empty = new Section(new ConfigMap(new SourceLine("", 0)), "", reading);
        new DeepSpeedReader(new Recipe { Data = new DataOptions { TrainFile = "" } }, null, null).Read(empty);
        return reading.Keys;
    }

    private DeepSpeedPlan Resolve(Recipe recipe, int? hiddenSize, int? worldSize, Problems problems)
    {
        var reading = new ConfigReading(problems);
        var reader = new DeepSpeedReader(recipe, hiddenSize, worldSize);
        var plan = reader.Read(new Section(map, path, reading));
        reading.ReportUnknownKeys([]);
        return plan;
    }
}

/// <summary>A recipe with its DeepSpeed file resolved for one model and world size.</summary>
/// <param name="Recipe">The recipe with the schedule, clipping and precision of the DeepSpeed file.</param>
/// <param name="Sharding">What is sharded over the ranks, and how it is communicated.</param>
/// <param name="Settings">How each key was resolved, in reading order.</param>
internal sealed record DeepSpeedPlan(Recipe Recipe, ShardingOptions Sharding, IReadOnlyList<DeepSpeedSetting> Settings);

/// <summary>How one key of a DeepSpeed file was resolved.</summary>
/// <param name="Key">Its full name with dots.</param>
/// <param name="Written">The value in the file; null if it is not set.</param>
/// <param name="Became">The resolved value, or why the key has no effect here.</param>
internal sealed record DeepSpeedSetting(string Key, string? Written, string Became)
{
    /// <summary>One line: the key, its value in the file, and the resolved value.</summary>
    public override string ToString() => $"{Key}: {Written ?? "(absent)"} -> {Became}";
}
