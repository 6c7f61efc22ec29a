using GlmTune.Files;

namespace GlmTune.Weights;

/// <summary>The weights of a model or adapter folder, in one file or several parts: every tensor by name.</summary>
internal sealed class WeightFiles : IDisposable
{
    /// <summary>File name of a model in one file.</summary>
    public const string ModelFile = "model.safetensors";

    /// <summary>File name of the index of a model in parts.</summary>
    public const string IndexFile = "model.safetensors.index.json";

    /// <summary>File name of an adapter.</summary>
    public const string AdapterFile = "adapter_model.safetensors";

    private static readonly string[] UnfinishedEndings =
    [
        ".incomplete",
        ".part",
        ".partial",
        ".aria2",
        ".crdownload",
        ".download",
        ".tmp",
    ];

    private readonly Dictionary<string, StoredTensor> byName = new(StringComparer.Ordinal);

    private WeightFiles(string path, IReadOnlyList<SafetensorsFile> files)
    {
        Path = path;
        Files = files;
    }

    /// <summary>The folder or the single file that was opened.</summary>
    public string Path { get; }

    /// <summary>The files, in the order of their names.</summary>
    public IReadOnlyList<SafetensorsFile> Files { get; }

    /// <summary>The tensors, file by file, in the order of their data.</summary>
    public IEnumerable<StoredTensor> Tensors =>
        Files.SelectMany(file => file.Tensors).Where(tensor => byName.GetValueOrDefault(tensor.Name) == tensor);

    /// <summary>Number of tensors.</summary>
    public int Count => byName.Count;

    /// <summary>The tensor with a given name.</summary>
    /// <exception cref="InvalidDataException">There is no such tensor.</exception>
    public StoredTensor this[string name] =>
        Find(name) ?? throw new InvalidDataException($"{Path}: has no tensor '{name}'.");

    /// <summary>Opens a folder's <see cref="ModelFile"/>, or else the parts named by its <see cref="IndexFile"/>, or
    /// else its <see cref="AdapterFile"/>; or a single safetensors file.</summary>
    /// <exception cref="InvalidDataException">The weights are missing, incomplete or damaged, or exist only as a
    /// pickle. All problems of the index are reported at once.</exception>
    /// <exception cref="DirectoryNotFoundException">There is no such folder or file.</exception>
    public static WeightFiles Open(string path)
    {
        if (File.Exists(path))
        {
            return FileContent.IsPickleName(path) ? throw Pickled(path) : OpenOne(path, path);
        }

        if (!Directory.Exists(path))
        {
            throw new DirectoryNotFoundException($"{path}: folder not found.");
        }

        string Inside(string name) => System.IO.Path.Combine(path, name);
        return File.Exists(Inside(ModelFile)) ? OpenOne(path, Inside(ModelFile))
            : File.Exists(Inside(IndexFile)) ? OpenParts(path)
            : File.Exists(Inside(AdapterFile)) ? OpenOne(path, Inside(AdapterFile))
            : throw Missing(path, $"{ModelFile}, or {IndexFile} with its parts");
    }

    /// <summary>Opens an adapter folder's <see cref="AdapterFile"/>.</summary>
    /// <exception cref="InvalidDataException">The file is missing or damaged, or exists only as a pickle.</exception>
    public static WeightFiles OpenAdapter(string folder)
    {
        var path = System.IO.Path.Combine(folder, AdapterFile);
        return File.Exists(path) ? OpenOne(path, path) : throw Missing(folder, AdapterFile);
    }

    /// <summary>Whether a folder holds a model's safetensors, in one file or with an index.</summary>
    public static bool AreIn(string folder) =>
        File.Exists(System.IO.Path.Combine(folder, ModelFile))
        || File.Exists(System.IO.Path.Combine(folder, IndexFile));

    /// <summary>The tensor with a given name; null if there is none.</summary>
    public StoredTensor? Find(string name) => byName.GetValueOrDefault(name);

    /// <summary>Closes all files; their tensors can no longer be read.</summary>
    public void Dispose()
    {
        foreach (var file in Files)
        {
            file.Dispose();
        }
    }

    private static WeightFiles OpenOne(string path, string file)
    {
        var weights = new WeightFiles(path, [SafetensorsFile.Open(file)]);
        foreach (var tensor in weights.Files[0].Tensors)
        {
            weights.byName.Add(tensor.Name, tensor);
        }

        return weights;
    }

    private static WeightFiles OpenParts(string folder)
    {
        var indexPath = System.IO.Path.Combine(folder, IndexFile);
        var index = WeightIndex.Read(indexPath);
        var problems = new ProblemList(indexPath);
        var parts = new SortedDictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        try
        {
            foreach (var part in index.Values.Distinct(StringComparer.Ordinal))
            {
                var path = System.IO.Path.Combine(folder, part);
                if (!File.Exists(path))
                {
                    problems.Add($"the part '{part}' is missing{PartialDownload(folder, part)}");
                    continue;
                }

                try
                {
                    parts.Add(part, SafetensorsFile.Open(path));
                }
                catch (InvalidDataException exception)
                {
                    problems.Add(exception.Message.TrimEnd('.'));
                }
            }

            var weights = new WeightFiles(folder, [.. parts.Values]);
            foreach (var (name, part) in index)
            {
                if (!parts.TryGetValue(part, out var file))
                {
                    continue; // already reported, once for all its tensors
                }

                if (file.Find(name) is { } tensor)
                {
                    weights.byName.Add(name, tensor);
                }
                else
                {
                    problems.Add($"'{name}' should be in '{part}' but is not");
                }
            }

            problems.Throw();
            return weights;
        }
        catch
        {
            foreach (var file in parts.Values)
            {
                file.Dispose();
            }

            throw;
        }
    }

    // Explains from the folder's contents why it has no such weights.
    private static InvalidDataException Missing(string folder, string expected)
    {
        string[] names =
        [
            .. Directory
                .EnumerateFileSystemEntries(folder)
                .Select(entry => System.IO.Path.GetFileName(entry))
                .Order(StringComparer.Ordinal),
        ];
        var parts = names.Count(name =>
            name.StartsWith("model-", StringComparison.Ordinal)
            && name.EndsWith(".safetensors", StringComparison.Ordinal)
        );
        return Array.Find(names, FileContent.IsPickleName) is { } pickle
                ? Pickled(System.IO.Path.Combine(folder, pickle))
            : parts > 0
                ? new InvalidDataException(
                    $"{folder}: has {parts} {(parts == 1 ? "part" : "parts")} of a model but no {IndexFile}, "
                        + "which maps tensors to files. Is the download complete?"
                )
            : names.Any(name => name.StartsWith("optimizer-", StringComparison.Ordinal))
                ? new InvalidDataException(
                    $"{folder}: its weights are still split among the ranks that trained it; 'glmtune "
                        + $"checkpoint consolidate {folder} OUT' builds a model from them."
                )
            : Array.Find(names, name => name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) is { } gguf
                ? new InvalidDataException(
                    $"{System.IO.Path.Combine(folder, gguf)}: is a GGUF file; only safetensors are read."
                )
            : new InvalidDataException(
                $"{folder}: contains no weights; expected {expected}{PartialDownload(folder, name: null)}"
            );
    }

    // Traces of an unfinished download: temporary files, and links to files missing from the hub's cache.
    private static string PartialDownload(string folder, string? name)
    {
        var link = name is null ? null : new FileInfo(System.IO.Path.Combine(folder, name)).LinkTarget;
        if (link is not null)
        {
            return $": it is a link to {link}, which is not there. Download the model again";
        }

        var unfinished = Directory
            .EnumerateFiles(folder)
            .Select(path => System.IO.Path.GetFileName(path))
            .Where(file => UnfinishedEndings.Any(ending => file.EndsWith(ending, StringComparison.OrdinalIgnoreCase)))
            .Order(StringComparer.Ordinal)
            .FirstOrDefault();
        return unfinished is null
            ? ". Is the download complete?"
            : $". The download is not complete: '{unfinished}' is still there";
    }

    private static InvalidDataException Pickled(string path) => new($"{path}: {FileContent.Pickle}");
}
