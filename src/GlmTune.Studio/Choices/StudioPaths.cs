using GlmTune.Files;
using GlmTune.Recipes;

namespace GlmTune.Studio.Choices;

/// <summary>The folders that a studio may use, and the names under which it shows what is in them.</summary>
/// <remarks>A path counts as inside where it really leads: a link out of a root is outside.</remarks>
internal sealed class StudioPaths
{
    private const int DeepestSearch = 4;
    private const int MaxFolders = 5000;

    private readonly string[] real;
    private readonly string realOutput;

    public StudioPaths(StudioOptions options)
    {
        Options = options;
        real = [.. options.Roots.Select(RegularFile.RealPath)];
        Disk.CreateFolder(options.Output);
        realOutput = RegularFile.RealPath(options.Output);
    }

    public StudioOptions Options { get; }

    /// <summary>A path as it is shown and written into recipes: relative to the working folder if it is below
    /// it.</summary>
    public string NameOf(string path)
    {
        var near = Path.GetRelativePath(Options.WorkingFolder, path);
        return (near.StartsWith("..", StringComparison.Ordinal) || Path.IsPathRooted(near) ? path : near).Replace(
            '\\',
            '/'
        );
    }

    /// <summary>The full path of a name.</summary>
    public string FullPath(string name) => Path.GetFullPath(HomePath.Expand(name), Options.WorkingFolder);

    /// <summary>Whether an existing file or folder is really below a root or the output folder.</summary>
    public bool Contains(string path) => real.Append(realOutput).Any(root => IsBelow(root, RegularFile.RealPath(path)));

    /// <summary>The folders below the roots, those of the output folder left out, each with its root.</summary>
    public IEnumerable<string> Folders()
    {
        var pending = new Queue<(string Folder, int Depth)>(Options.Roots.Select(root => (Path.GetFullPath(root), 0)));
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (pending.TryDequeue(out var next) && seen.Count < MaxFolders)
        {
            if (!seen.Add(next.Folder))
            {
                continue;
            }

            yield return next.Folder;
            if (next.Depth < DeepestSearch)
            {
                foreach (
                    var child in VisibleFolders
                        .In(next.Folder)
                        .Where(child => !IsLeftOut(child))
                        .Order(StringComparer.Ordinal)
                )
                {
                    pending.Enqueue((child, next.Depth + 1));
                }
            }
        }
    }

    /// <summary>What is wrong with the files and folders that a recipe names: one line each.</summary>
    public IEnumerable<string> FindProblems(Recipe recipe)
    {
        (string Key, string? Name)[] files =
        [
            ("data_config.train_file", recipe.Data.TrainFile),
            ("data_config.val_file", recipe.Data.ValidationFile),
            ("data_config.test_file", recipe.Data.TestFile),
            (
                "training_args.deepspeed",
                recipe.DeepSpeed is { } plan && plan.Source.EndsWith(".json", StringComparison.Ordinal)
                    ? plan.Source
                    : null
            ),
        ];
        foreach (var (key, name) in files.Where(file => !string.IsNullOrEmpty(file.Name)))
        {
            if (Path.Exists(FullPath(name!)) && !Contains(FullPath(name!)))
            {
                yield return $"'{key}' is '{name}', which is outside of the folders of this studio.";
            }
        }

        if (recipe.Training.TensorBoardFolder is { } events && !IsBelow(realOutput, FullPath(events)))
        {
            yield return $"'training_args.logging_dir' is '{events}', which is outside of the output folder "
                + $"{NameOf(Options.Output)}; remove it.";
        }

        if (recipe.ResumeFrom is { } checkpoint)
        {
            yield return $"'training_args.resume_from_checkpoint' is '{checkpoint}'; remove it: a job is resumed with "
                + "its button.";
        }
    }

    private static bool IsBelow(string root, string path) =>
        path == root
        || path.StartsWith(
            Path.TrimEndingDirectorySeparator(root) + Path.DirectorySeparatorChar,
            StringComparison.Ordinal
        );

    private bool IsLeftOut(string folder) =>
        Path.GetFileName(folder) is "bin" or "obj" or "node_modules"
        || Path.GetFileName(folder).StartsWith('.')
        || IsBelow(Path.GetFullPath(Options.Output), folder);
}
