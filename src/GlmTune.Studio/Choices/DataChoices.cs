using GlmTune.Files;
using GlmTune.Model;

namespace GlmTune.Studio.Choices;

/// <summary>A file that may hold conversations.</summary>
/// <param name="Name">Its path as recipes write it.</param>
/// <param name="Bytes">Its size.</param>
internal sealed record DataChoice(string Name, long Bytes);

/// <summary>The data files in the roots: one conversation a line, or one array of them.</summary>
/// <param name="paths">The folders of the studio.</param>
internal sealed class DataChoices(StudioPaths paths)
{
    private const int MaxFiles = 1000;
    private const int PeekedBytes = 256;

    /// <summary>All files, by name.</summary>
    public IReadOnlyList<DataChoice> List() =>
        [
            .. paths
                .Folders()
                .Where(folder => !File.Exists(Path.Combine(folder, ModelConfig.FileName)))
                .SelectMany(Files)
                .Where(file => IsData(file.FullName))
                .Take(MaxFiles)
                .Select(file => new DataChoice(paths.NameOf(file.FullName), file.Length)),
        ];

    private static IEnumerable<FileInfo> Files(string folder)
    {
        try
        {
            return
            [
                .. new DirectoryInfo(folder)
                    .EnumerateFiles()
                    .Where(file => file.Extension is ".jsonl" or ".json" && file is { LinkTarget: null, Length: > 0 })
                    .OrderBy(file => file.Name, StringComparer.Ordinal),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return []; // removed meanwhile
        }
    }

    // A .json file that is an object is some program's configuration.
    private static bool IsData(string path)
    {
        try
        {
            using var file = RegularFile.Open(path);
            var bytes = new byte[PeekedBytes];
            var text = bytes.AsSpan(0, RegularFile.Read(file, bytes, 0));
            text = (text.StartsWith("\uFEFF"u8) ? text[3..] : text).TrimStart(" \r\n\t"u8);
            return text.Length > 0
                && (text[0] == '[' || (text[0] == '{' && path.EndsWith(".jsonl", StringComparison.Ordinal)));
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
