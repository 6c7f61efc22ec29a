using System.Text.RegularExpressions;
using GlmTune.Files;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>A recipe that comes with the program.</summary>
/// <param name="Name">Its name, without an extension.</param>
/// <param name="Text">The YAML text.</param>
internal sealed record ShippedRecipe(string Name, string Text)
{
    /// <summary>The sentence with which its comment begins.</summary>
    public string Summary => Text.Split('\n')[0].TrimStart('#', ' ').TrimEnd();
}

/// <summary>The recipes of the folder <c>configs</c>, which are part of the program.</summary>
internal static partial class ShippedRecipes
{
    private const string Prefix = "recipes/";
    private const string Extension = ".yaml";

    /// <summary>All recipes, by name.</summary>
    public static IReadOnlyList<ShippedRecipe> All { get; } =
    [
        .. typeof(ShippedRecipes)
            .Assembly.GetManifestResourceNames()
            .Where(name =>
                name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Extension, StringComparison.Ordinal)
            )
            .Select(name => new ShippedRecipe(name[Prefix.Length..^Extension.Length], Read(name)))
            .OrderBy(recipe => recipe.Name, StringComparer.Ordinal),
    ];

    /// <summary>The DeepSpeed files beside them, by file name.</summary>
    public static IReadOnlyList<(string Name, string Text)> DeepSpeedFiles { get; } =
    [
        .. typeof(ShippedRecipes)
            .Assembly.GetManifestResourceNames()
            .Where(name =>
                name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(".json", StringComparison.Ordinal)
            )
            .Select(name => (name[Prefix.Length..], Read(name))),
    ];

    /// <summary>The recipe of a name.</summary>
    /// <param name="name">Its name; <c>.yaml</c> and <c>configs/</c> may be part of it.</param>
    /// <exception cref="InvalidDataException">There is none.</exception>
    public static ShippedRecipe Named(string name)
    {
        var word = Path.GetFileName(name);
        word = word.EndsWith(Extension, StringComparison.Ordinal) ? word[..^Extension.Length] : word;
        return All.FirstOrDefault(recipe => recipe.Name == word)
            ?? throw new InvalidDataException(
                $"'{name}' is not a recipe of this program{Meant(word)} "
                    + $"Available: {string.Join(", ", All.Select(recipe => recipe.Name))}."
            );
    }

    /// <summary>Writes a recipe to a new file, and beside it the DeepSpeed file that it names.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="path">The file, or an existing folder.</param>
    /// <returns>The files that were written.</returns>
    /// <exception cref="IOException">A file exists already, or cannot be written.</exception>
    public static IReadOnlyList<string> Copy(ShippedRecipe recipe, string path)
    {
        path = HomePath.Expand(path);
        path = Directory.Exists(path) ? Path.Combine(path, recipe.Name + Extension) : path;
        List<(string Path, string Text)> files = [];
        var text = DeepSpeed()
            .Replace(
                recipe.Text,
                found =>
                {
                    var name = found.Groups["file"].Value;
                    files.Add((Path.Combine(Storage.ParentOf(path), name), Read(Prefix + name)));
                    return found.Groups["key"].Value + name;
                }
            );
        files.Insert(0, (path, text));
        if (files.Where(file => File.Exists(file.Path)).ToList() is { Count: > 0 } existing)
        {
            throw new IOException(
                string.Join('\n', existing.Select(file => $"{file.Path}: already exists, and is not replaced."))
            );
        }

        foreach (var file in files)
        {
            AtomicFile.WriteText(file.Path, file.Text);
        }

        return [.. files.Select(file => file.Path)];
    }

    private static string Meant(string word) =>
        Suggestion.Text(word, All.Select(recipe => recipe.Name)) is { Length: > 0 } near ? near : ".";

    private static string Read(string resource)
    {
        using var stream = typeof(ShippedRecipes).Assembly.GetManifestResourceStream(resource)!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"^(?<key> *deepspeed: )configs/(?<file>[\w.]+)", RegexOptions.Multiline)]
    private static partial Regex DeepSpeed();
}
