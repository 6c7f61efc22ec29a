using GlmTune.Files;

namespace GlmTune.Hub;

/// <summary>Decides which files of a repository are downloaded: those that this program reads. Pickles, code and
/// other formats are never downloaded.</summary>
internal static class FileSelection
{
    /// <summary>The index of weights in several files.</summary>
    public const string Index = "model.safetensors.index.json";

    private const string Weights = ".safetensors";
    private const string SingleFile = "model.safetensors";
    private const int Shown = 3;

    private static readonly HashSet<string> Settings = new(StringComparer.Ordinal)
    {
        "config.json",
        "generation_config.json",
        "adapter_config.json",
        "tokenizer.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
        Index,
    };

    /// <summary>Files other than weights; they are downloaded first.</summary>
    /// <exception cref="InvalidDataException">The list names a file outside of the repository, or the repository holds
    /// no model that can be read.</exception>
    public static IReadOnlyList<HubFile> SmallFiles(HubName name, HubListing listing)
    {
        if (listing.Files.FirstOrDefault(file => LeadsOut(file.Name)) is { } outside)
        {
            throw new InvalidDataException(
                $"{name}: the file list names '{TerminalText.Visible(outside.Name)}', which is not inside the "
                    + "repository. "
                    + "Nothing was downloaded."
            );
        }

        if (listing.Files.GroupBy(file => file.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new InvalidDataException($"{name}: the file list names '{twice.Key}' twice. Nothing was downloaded.");
        }

        var names = listing.Files.Select(file => file.Name).ToList();
        if (!names.Contains("config.json") && !names.Contains("adapter_config.json"))
        {
            throw new InvalidDataException(
                $"{name}: has neither config.json nor adapter_config.json, so it is not a model that can be read. "
                    + "Nothing was downloaded."
            );
        }

        if (!names.Any(IsWeights))
        {
            var others = names
                .Where(file =>
                    FileContent.IsPickleName(file) || Path.GetExtension(file) is ".gguf" or ".h5" or ".msgpack"
                )
                .ToList();
            throw new InvalidDataException(
                others.Count == 0
                    ? $"{name}: has no weights in safetensors files. Nothing was downloaded."
                    : $"{name}: has weights in "
                        + $"{string.Join(", ", others.Take(Shown))}{(others.Count > Shown ? ", …" : "")} "
                        + "only. Pickles can run code and are never read; expected safetensors files. Choose another "
                        + "revision (NAME@REVISION) or a repository with safetensors. Nothing was downloaded."
            );
        }

        return [.. listing.Files.Where(file => Settings.Contains(file.Name))];
    }

    /// <summary>The files with weights: those that the index names, or else a single file, or else all.</summary>
    /// <param name="name">The repository.</param>
    /// <param name="listing">Its files.</param>
    /// <param name="indexed">Names in the index; null if there is none.</param>
    /// <exception cref="InvalidDataException">The index names files that the repository does not have.</exception>
    public static IReadOnlyList<HubFile> WeightFiles(
        HubName name,
        HubListing listing,
        IReadOnlyCollection<string>? indexed
    )
    {
        List<HubFile> all = [.. listing.Files.Where(file => IsWeights(file.Name))];
        if (indexed is not null)
        {
            return indexed.Except(all.Select(file => file.Name)).ToList() is { Count: > 0 } missing
                ? throw new InvalidDataException(
                    $"{name}: {Index} names {string.Join(", ", missing.Take(Shown).Select(TerminalText.Visible))}"
                        + $"{(missing.Count > Shown ? ", …" : "")}, which the repository does not have. No weights "
                        + "were "
                        + "downloaded."
                )
                : [.. all.Where(file => indexed.Contains(file.Name))];
        }

        return all.Where(file => file.Name == SingleFile).ToList() is [var single] ? [single] : all;
    }

    private static bool IsWeights(string name) =>
        name.EndsWith(Weights, StringComparison.Ordinal) && name.All(c => c is not ('/' or '\\')) && name[0] != '.';

    private static bool LeadsOut(string name) =>
        name.Length == 0
        || name.Contains('\\', StringComparison.Ordinal)
        || name.Any(char.IsControl)
        || name.Split('/').Any(part => part is "" or "." or "..");
}
