using System.IO.Hashing;
using System.Runtime.ExceptionServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace GlmTune.Files;

/// <summary>How a folder differs from its manifest.</summary>
/// <param name="Problems">Everything that is wrong, each as a sentence without a full stop.</param>
/// <param name="Edited">Names of editable files whose bytes have changed, which is not a problem.</param>
internal sealed record FolderFindings(IReadOnlyList<string> Problems, IReadOnlyList<string> Edited);

/// <summary>Names, sizes and XXH128 hashes of a folder's files, stored in <see cref="FileName"/> inside the folder. It
/// is written last, so its presence means that the folder is complete.</summary>
/// <remarks>The id of the run is recorded here, with each file, and not in the files: the same recipe writes the same
/// bytes in each run.</remarks>
internal static class FolderManifest
{
    /// <summary>Name of the manifest inside its folder.</summary>
    public const string FileName = "manifest.json";

    private static readonly JsonSerializerOptions Json = new(JsonLayout.Indented)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>Flushes every file and folder below <paramref name="folder"/> to disk, then writes and flushes the
    /// manifest.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="hashes">Hashes by name, from <see cref="HashOf"/>, of files that their writers have already read;
    /// the others are read now. These files must be listed even if a network file system does not show another
    /// machine's files yet.</param>
    /// <param name="run">Id of the run that wrote the files, recorded with each; null: none.</param>
    public static void Write(string folder, IReadOnlyDictionary<string, string>? hashes = null, string? run = null)
    {
        var paths = Disk.Files(folder, recurse: true)
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
                new ParallelOptions { MaxDegreeOfParallelism = Disk.Parallelism },
                i =>
                {
                    var path = Path.Combine(folder, paths[i]);
                    Storage.FlushFile(path);
                    files[i] = new Entry(
                        paths[i],
                        new FileInfo(path).Length,
                        hashes?.GetValueOrDefault(paths[i]) ?? HashOf(path),
                        run
                    );
                }
            );
        }
        catch (AggregateException several)
        {
            // Callers expect the exception of the failing file, not one about the parallel loop.
            ExceptionDispatchInfo.Throw(several.InnerExceptions[0]);
        }

        foreach (var inner in Disk.Folders(folder, recurse: true))
        {
            Storage.FlushFolder(inner);
        }

        AtomicFile.WriteJson(Path.Combine(folder, FileName), new Content(run, files), Json);
    }

    /// <summary>Checks a folder against its manifest: each file exists, has its recorded length and, unless {hashes} is
    /// false, its recorded bytes.</summary>
    /// <param name="folder">The folder to check.</param>
    /// <param name="hashes">Whether to read and hash the files; otherwise only names and sizes are compared.</param>
    /// <param name="share">Which share of the files to check, from 0, when several processes check a large folder
    /// together.</param>
    /// <param name="shares">Number of shares.</param>
    /// <returns>The problems; empty if the folder is intact. Files that are not in the manifest are ignored.</returns>
    public static IReadOnlyList<string> FindProblems(
        string folder,
        bool hashes = true,
        int share = 0,
        int shares = 1
    ) => Compare(folder, _ => false, _ => hashes, share, shares).Problems;

    /// <summary>Like <see cref="FindProblems"/>, but reports changes to editable files separately.</summary>
    /// <param name="folder">The folder to check.</param>
    /// <param name="editable">Whether the file with this name may differ from what was written.</param>
    /// <param name="hashed">Whether to read and hash the file with this name; null: all files.</param>
    /// <param name="share">Which share of the files to check, from 0.</param>
    /// <param name="shares">Number of shares.</param>
    /// <param name="compared">Whether to check the file with this name at all; null: all files.</param>
    public static FolderFindings Compare(
        string folder,
        Predicate<string> editable,
        Predicate<string>? hashed = null,
        int share = 0,
        int shares = 1,
        Predicate<string>? compared = null
    )
    {
        var manifest = Path.Combine(folder, FileName);
        if (!File.Exists(manifest))
        {
            return new FolderFindings([$"has no {FileName}, so it is incomplete or was written by other software"], []);
        }

        Content? content;
        try
        {
            content = JsonSerializer.Deserialize<Content>(RegularFile.ReadBytes(manifest), Json);
        }
        catch (JsonException exception)
        {
            return new FolderFindings([$"{FileName} is invalid{At(exception)}"], []);
        }
        catch (Exception exception)
            when (exception is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            return new FolderFindings([$"{FileName} cannot be read: {exception.Message}"], []);
        }

        if (content?.Files is not { } files || !files.All(file => file is { Name.Length: > 0, Xxh128: not null }))
        {
            return new FolderFindings([$"{FileName} lacks the list 'files' with name, bytes and xxh128"], []);
        }

        if (files.Any(file => file.Run != content.Run))
        {
            return new FolderFindings([$"{FileName} names files of more than one run"], []);
        }

        var found = ShareOf([.. files.Where(file => compared?.Invoke(file.Name) != false)], share, shares)
            .AsParallel()
            .AsOrdered()
            .WithDegreeOfParallelism(
                Disk.Parallelism > 0 ? Disk.Parallelism : Math.Min(512, Environment.ProcessorCount)
            )
            .Select(file => (file.Name, Problem: FindProblem(folder, file, hashed?.Invoke(file.Name) != false)))
            .Where(file => file.Problem is not null)
            .ToList();
        // A file that is missing, or outside the folder, does not count as edited.
        bool Edited(string name) => editable(name) && File.Exists(Path.Combine(folder, name));
        return new FolderFindings(
            [.. found.Where(file => !Edited(file.Name)).Select(file => file.Problem!)],
            [.. found.Where(file => Edited(file.Name)).Select(file => file.Name)]
        );
    }

    /// <summary>Whether a folder has a manifest that was written by <see cref="Write"/>, even if it has been damaged
    /// since; other software also uses this file name.</summary>
    public static bool IsIn(string folder)
    {
        try
        {
            var path = Path.Combine(folder, FileName);
            return File.Exists(path) && RegularFile.ReadText(path).Contains("\"xxh128\"", StringComparison.Ordinal);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            return false;
        }
    }

    private static string At(JsonException exception) => exception.LineNumber is { } line ? $" (line {line + 1})" : "";

    /// <summary>Like <see cref="FindProblems"/>, but throws all problems as one exception.</summary>
    /// <exception cref="InvalidDataException">The folder is not intact.</exception>
    public static void Verify(string folder, bool hashes = true, int share = 0, int shares = 1)
    {
        var list = new ProblemList(folder);
        foreach (var problem in FindProblems(folder, hashes, share, shares))
        {
            list.Add(problem);
        }

        list.Throw();
    }

    // Largest first, each to the share with the fewest bytes, so that all shares take about as long.
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
        catch (Exception error) when (error is IOException or InvalidDataException or UnauthorizedAccessException)
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
                ? $"'{file.Name}' has {bytes} bytes; expected {file.Bytes}"
            : hashes && HashOf(path) != file.Xxh128
                ? $"'{file.Name}' has changed since it was written (its hash differs)"
            : null;
    }

    /// <summary>XXH128 of a file in the form that manifests use: lower-case hexadecimal digits.</summary>
    public static string HashOf(string path)
    {
        var hash = new XxHash128();
        using var stream = RegularFile.OpenStream(path, bufferSize: 1 << 20);
        hash.Append(stream);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private sealed record Content(string? Run, IReadOnlyList<Entry> Files);

    private sealed record Entry(string Name, long Bytes, string Xxh128, string? Run);
}
