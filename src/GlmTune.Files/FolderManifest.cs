using System.IO.Hashing;
using System.Runtime.ExceptionServices;
using System.Text.Json;

namespace GlmTune.Files;

/// <summary>Names, sizes and XXH128 hashes of a folder's files, in <see cref="FileName"/> inside it; written last, it
/// says that the folder is whole.</summary>
public static class FolderManifest
{
    /// <summary>Name of the manifest inside its folder.</summary>
    public const string FileName = "manifest.json";

    private static readonly JsonSerializerOptions Json = new(JsonLayout.Indented)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    /// <summary>Flushes every file and folder below <paramref name="folder"/> to the disk, then writes and flushes its
    /// manifest.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="hashes">Hashes by name, from <see cref="HashOf"/>, of files that were read already where they were
    /// written; the others are read now. These files must be there, even where a network's file system does not list
    /// yet what another machine wrote.</param>
    public static void Write(string folder, IReadOnlyDictionary<string, string>? hashes = null)
    {
        var paths = Directory
            .GetFiles(folder, "*", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(folder, path).Replace('\\', '/'))
            .Union(hashes?.Keys ?? [])
            .Where(name => name != FileName)
            .Order(StringComparer.Ordinal)
            .ToArray();
        var files = new Entry[paths.Length];
        try
        {
            Parallel.For(
                0,
                paths.Length,
                i =>
                {
                    var path = Path.Combine(folder, paths[i]);
                    Storage.FlushFile(path);
                    files[i] = new Entry(
                        paths[i],
                        new FileInfo(path).Length,
                        hashes?.GetValueOrDefault(paths[i]) ?? HashOf(path)
                    );
                }
            );
        }
        catch (AggregateException several)
        {
            // Whoever writes expects what one file's failure is, not how the work was shared out.
            ExceptionDispatchInfo.Throw(several.InnerExceptions[0]);
        }

        foreach (var inner in Directory.EnumerateDirectories(folder, "*", SearchOption.AllDirectories))
        {
            Storage.FlushFolder(inner);
        }

        AtomicFile.WriteJson(Path.Combine(folder, FileName), new Content(files), Json);
    }

    /// <summary>Checks a folder against its manifest: each file is there, as long as it was, and (unless left out) has
    /// the same bytes.</summary>
    /// <param name="folder">The folder to check.</param>
    /// <param name="hashes">Whether files are read and hashed; without, only names and sizes are compared.</param>
    /// <param name="share">Which share of the files is checked, from 0, where several processes check a large folder
    /// together.</param>
    /// <param name="shares">Number of shares.</param>
    /// <returns>All that is wrong; empty where the folder is whole. Files that the manifest does not name are nobody's
    /// concern.</returns>
    public static IReadOnlyList<string> FindProblems(string folder, bool hashes = true, int share = 0, int shares = 1)
    {
        var manifest = Path.Combine(folder, FileName);
        if (!File.Exists(manifest))
        {
            return [$"has no {FileName}, so it was never finished, or not by this software"];
        }

        Content? content;
        try
        {
            content = JsonSerializer.Deserialize<Content>(File.ReadAllBytes(manifest), Json);
        }
        catch (JsonException exception)
        {
            return [$"{FileName} is not the JSON it should be ({exception.Message})"];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [$"{FileName} cannot be read: {exception.Message}"];
        }

        return content?.Files is { } files && files.All(file => file is { Name.Length: > 0, Xxh128: not null })
            ?
            [
                .. ShareOf(files, share, shares)
                    .AsParallel()
                    .AsOrdered()
                    .Select(file => FindProblem(folder, file, hashes))
                    .OfType<string>(),
            ]
            : [$"{FileName} has no list 'files' of name, bytes and xxh128"];
    }

    /// <summary>Like <see cref="FindProblems"/>, but throws them all as one.</summary>
    /// <exception cref="InvalidDataException">The folder is not whole.</exception>
    public static void Verify(string folder, bool hashes = true, int share = 0, int shares = 1)
    {
        var list = new ProblemList(folder);
        foreach (var problem in FindProblems(folder, hashes, share, shares))
        {
            list.Add(problem);
        }

        list.Throw();
    }

    // The largest first, each to the share that has least: shares take about as long, whatever the files.
    private static Entry[] ShareOf(IReadOnlyList<Entry> files, int share, int shares)
    {
        var bytes = new long[shares];
        var mine = new HashSet<Entry>();
        foreach (var file in files.OrderByDescending(file => file.Bytes))
        {
            var least = Array.IndexOf(bytes, bytes.Min());
            bytes[least] += file.Bytes;
            if (least == share)
            {
                mine.Add(file);
            }
        }

        return [.. files.Where(mine.Contains)];
    }

    private static string? FindProblem(string folder, Entry file, bool hashes)
    {
        try
        {
            return FindDifference(folder, file, hashes);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return $"'{file.Name}' cannot be read: {error.Message}";
        }
    }

    private static string? FindDifference(string folder, Entry file, bool hashes)
    {
        if (Path.IsPathRooted(file.Name) || file.Name.Split('/', '\\').Contains(".."))
        {
            return $"{FileName} names '{file.Name}', which is not inside the folder";
        }

        var path = Path.Combine(folder, file.Name);
        return !File.Exists(path) ? $"'{file.Name}' is missing"
            : new FileInfo(path).Length is var bytes && bytes != file.Bytes
                ? $"'{file.Name}' has {bytes} bytes; it was written with {file.Bytes}"
            : hashes && HashOf(path) != file.Xxh128
                ? $"'{file.Name}' has other bytes than were written (its hash differs)"
            : null;
    }

    /// <summary>The XXH128 of a file as a manifest has it: lower-case hexadecimal digits.</summary>
    public static string HashOf(string path)
    {
        var hash = new XxHash128();
        using var stream = new FileStream(
            path,
            FileMode.Open,
            FileAccess.Read,
            FileShare.ReadWrite | FileShare.Delete,
            bufferSize: 1 << 20,
            FileOptions.SequentialScan
        );
        hash.Append(stream);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private sealed record Content(IReadOnlyList<Entry> Files);

    private sealed record Entry(string Name, long Bytes, string Xxh128);
}
