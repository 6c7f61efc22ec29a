using System.Text.Json;
using GlmTune.Data.Templates;
using GlmTune.Files;

namespace GlmTune.Data.Preprocessing;

/// <summary>Tokenized rows in the user's cache folder, so that a second run, a resumed one and the other ranks need not
/// tokenize them.</summary>
/// <remarks>A file's name is its <see cref="RowsKey"/>. It appears in one step, is checked whole when it is opened, and
/// is never changed. Of several processes that need the same rows, one tokenizes them and the others wait. If files
/// cannot be written, rows stay in memory as they would without a cache. Thread-safe.</remarks>
/// <param name="folder">Its folder, which may not exist yet; null: there is none, and nothing is cached.</param>
internal sealed class RowCache(string? folder)
{
    private static readonly Lazy<RowCache> OfCurrentUser = new(() =>
        new RowCache(CacheFolder.Current.Location is { } location ? Path.Combine(location, "rows") : null)
    );

    private const long CheckEvery = 64L << 20;

    private volatile string? note;

    /// <summary>The cache in the user's folder.</summary>
    public static RowCache OfUser => OfCurrentUser.Value;

    /// <summary>Data files below this size, in bytes, are tokenized each time: that takes a moment. Default:
    /// 4 MiB.</summary>
    public long SmallestData { get; init; } = 4L << 20;

    /// <summary>Bytes that all files together may have; those that have not been used for the longest time are deleted
    /// first. The newest stays, whatever its size. Default: 64 GiB.</summary>
    public long MaxBytes { get; init; } = 64L << 30;

    /// <summary>Bytes of the disk that are left free for checkpoints. Default: 4 GiB.</summary>
    public long LeftFree { get; init; } = 4L << 30;

    /// <summary>How long another process may make no progress with the same rows until this one does not wait any
    /// longer. Default: a minute.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Called while waiting for another process, before each look; tests wait here.</summary>
    internal Action? Waiting { get; init; }

    /// <summary>Why rows could not be cached, and what to do; null if there was no need for it.</summary>
    public string? Note => note;

    /// <summary>Finds tokenized rows, or makes them.</summary>
    /// <param name="path">The data file.</param>
    /// <param name="template">The template with its tokenizer.</param>
    /// <param name="options">Which rows are used.</param>
    /// <param name="read">Reads and tokenizes the file, gives each example to the action, and returns the
    /// report.</param>
    /// <param name="stop">Cancels.</param>
    /// <returns>Null if the rows are not to be cached, or cannot be.</returns>
    /// <exception cref="InvalidDataException">From <paramref name="read"/>.</exception>
    public (ExampleFile Examples, SetReport Report, string Fingerprint)? Get(
        string path,
        Glm4Template template,
        ExampleOptions options,
        Func<Action<TokenizedExample>, SetReport> read,
        CancellationToken stop
    )
    {
        if (folder is null || note is not null || !File.Exists(path))
        {
            return null;
        }

        var data = StampOf(path);
        if (data.Bytes < SmallestData)
        {
            return null;
        }

        var key = RowsKey.Of(path, template, options, stop);
        var file = Path.Combine(folder, $"{key}.rows");
        if (Open(file, path) is { } found)
        {
            return found;
        }

        var readFails = false;
        BuildLock? building = null;
        try
        {
            Disk.CreateFolder(folder);
            building = BuildLock.Take(folder, key, () => File.Exists(file), Patience, Waiting, stop);
            if (Open(file, path) is { } others)
            {
                return others;
            }

            AtomicFile.Write(file, Write);
            RowCacheFiles.Trim(folder, file, MaxBytes);
            return Open(file, path) ?? throw new IOException("what was written cannot be read back");
        }
        catch (Exception error) when (IsOfDisk(error) && !readFails)
        {
            note =
                $"{folder}: tokenized rows cannot be kept there ({error.Message.TrimEnd('.')}), so they take memory "
                + "and each run tokenizes them again. Make room, or set XDG_CACHE_HOME to another folder; "
                + "data_config.row_cache: false does without the cache.";
            return null;
        }
        finally
        {
            building?.Dispose();
        }

        void Write(Stream stream)
        {
            var (writer, checkAt) = (new ExampleFileWriter(stream), 0L);
            using var fingerprint = new ExampleFingerprint();
            SetReport report;
            try
            {
                report = read(example =>
                {
                    if (writer.Length >= checkAt)
                    {
                        RequireRoom(folder);
                        checkAt = writer.Length + CheckEvery;
                    }

                    Guarded(() => writer.Add(example));
                    fingerprint.Add(example);
                });
            }
            catch (Exception error) when (IsOfDisk(error) && error is not CacheException)
            {
                readFails = true;
                throw;
            }

            if (StampOf(path) != data)
            {
                throw new CacheException($"{path} was changed while it was read");
            }

            writer.Finish(StoredReport.Write(report, path, fingerprint.Finish()));
        }
    }

    private static bool IsOfDisk(Exception error) => error is IOException or UnauthorizedAccessException;

    private static (long Bytes, DateTime Changed) StampOf(string path)
    {
        // A link has a size and a time of its own.
        var info = (FileInfo?)File.ResolveLinkTarget(path, returnFinalTarget: true) ?? new FileInfo(path);
        return (info.Length, info.LastWriteTimeUtc);
    }

    private static void Guarded(Action write)
    {
        try
        {
            write();
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            throw new CacheException(error.Message, error);
        }
    }

    private void RequireRoom(string folder)
    {
        if (LeftFree > 0 && new DriveInfo(Path.GetFullPath(folder)).AvailableFreeSpace is var free && free < LeftFree)
        {
            throw new CacheException(
                $"{WriteProbe.Size(free)} are free, and {WriteProbe.Size(LeftFree)} stay free for checkpoints"
            );
        }
    }

    // A damaged file, or one of another format under this name, is deleted, and the rows are tokenized again.
    private static (ExampleFile, SetReport, string)? Open(string file, string path)
    {
        if (!File.Exists(file))
        {
            return null;
        }

        ExampleFile? examples = null;
        try
        {
            examples = ExampleFile.Open(file);
            if (examples is not null)
            {
                var (report, fingerprint) = StoredReport.Read(examples.Report, path);
                RowCacheFiles.Touch(file);
                return (examples, report, fingerprint);
            }
        }
        catch (Exception error) when (IsOfDisk(error) || error is InvalidDataException or JsonException)
        {
            examples?.Dispose();
        }

        Disk.TryDeleteFile(file);
        return null;
    }

    /// <summary>The cache cannot take the rows; reading them is another matter.</summary>
    private sealed class CacheException(string message, Exception? inner = null) : IOException(message, inner);
}
