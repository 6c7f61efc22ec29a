using GlmTune.Runs;

namespace GlmTune.Server.Board;

/// <summary>The known state of the runs in some folders. Requests get the last state; files are read in the
/// background.</summary>
/// <remarks>Thread-safe.</remarks>
/// <param name="folders">Searched for runs.</param>
/// <param name="reader">Reads the files.</param>
/// <param name="patience">How long a request waits for a fresh state; the first one waits four times as long, as there
/// is nothing else to show.</param>
internal sealed class RunWatch(IReadOnlyList<string> folders, BackgroundReader reader, TimeSpan patience)
{
    private readonly Lock sync = new();
    private readonly Dictionary<string, IReadOnlyList<RunFolder>> found = [];
    private Task<RunListing>? refresh;
    private volatile RunListing last = new([], []);

    /// <summary>Called with errors that are defects.</summary>
    public Action<Exception>? Failed { get; set; }

    /// <summary>The state of all runs: a fresh one if it can be had in time, otherwise the last one.</summary>
    public async Task<RunListing> LatestAsync()
    {
        Task<RunListing> current;
        lock (sync)
        {
            if (refresh is null or { IsCompleted: true })
            {
                refresh = Task.Run(RefreshAsync);
            }

            current = refresh;
        }

        try
        {
            return await current.WaitAsync(last.Entries.Count == 0 ? 4 * patience : patience);
        }
        catch (TimeoutException)
        {
            return last;
        }
    }

    /// <summary>The run with an id; null if there is none.</summary>
    public async Task<RunFolder?> FindAsync(string id) =>
        Known(id) ?? ((await LatestAsync()).Entries.FirstOrDefault(entry => entry.Run.Id == id)?.Run);

    /// <summary>Reads something of a run.</summary>
    /// <inheritdoc cref="BackgroundReader.ReadAsync"/>
    public Task<T> ReadAsync<T>(RunFolder run, Func<T> read) => reader.ReadAsync(run.FullPath, read);

    private RunFolder? Known(string id) => last.Entries.FirstOrDefault(entry => entry.Run.Id == id)?.Run;

    private async Task<RunListing> RefreshAsync()
    {
        var known = last.Entries.ToDictionary(entry => entry.Run.Id, StringComparer.Ordinal);
        var entries = new Dictionary<string, RunEntry>(StringComparer.Ordinal);
        List<string> problems = [];
        foreach (var folder in folders)
        {
            foreach (var run in await SearchAsync(folder, problems))
            {
                if (
                    !entries.ContainsKey(run.Id) && await StatusAsync(run, known.GetValueOrDefault(run.Id)) is { } entry
                )
                {
                    entries.Add(run.Id, entry);
                }
            }
        }

        return last = new RunListing([.. entries.Values], problems);
    }

    private async Task<IReadOnlyList<RunFolder>> SearchAsync(string folder, List<string> problems)
    {
        try
        {
            return found[folder] = await reader.ReadAsync(folder, () => RunFolder.Find(folder));
        }
#pragma warning disable CA1031 // One folder never hides the others.
        catch (Exception error)
#pragma warning restore CA1031
        {
            problems.Add($"{folder}: {ReasonOf(error)}");
            return found.GetValueOrDefault(folder, []);
        }
    }

    // A known run keeps its object, with what it has read. One whose folder has disappeared is dropped.
    private async Task<RunEntry?> StatusAsync(RunFolder run, RunEntry? before)
    {
        run = before?.Run ?? run;
        try
        {
            return await reader.ReadAsync(run.FullPath, () => EntryOf(run));
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
#pragma warning disable CA1031 // One run never hides the others.
        catch (Exception error)
#pragma warning restore CA1031
        {
            var status = before?.Status ?? new RunStatus(RunState.Lost, 0, 0, null, null, null, null);
            return new RunEntry(run, status with { Problem = ReasonOf(error) }, before?.Started);
        }
    }

    private static RunEntry EntryOf(RunFolder run)
    {
        var status = run.ReadStatus();
        try
        {
            return new RunEntry(run, status, run.ReadDescription()?.Started);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return new RunEntry(run, status with { Problem = status.Problem ?? error.Message }, null);
        }
    }

    private string ReasonOf(Exception error)
    {
        if (error is InvalidDataException or IOException or UnauthorizedAccessException or TimeoutException)
        {
            return error.Message;
        }

        Failed?.Invoke(error);
        return "It cannot be shown; see the server's log.";
    }
}

/// <summary>The state of all runs.</summary>
/// <param name="Entries">One for each run.</param>
/// <param name="Problems">Folders that could not be searched, and why.</param>
internal sealed record RunListing(IReadOnlyList<RunEntry> Entries, IReadOnlyList<string> Problems);

/// <summary>The state of a run.</summary>
/// <param name="Run">The run.</param>
/// <param name="Status">Its state, with what is wrong with its files.</param>
/// <param name="Started">When it was first started; null if unknown.</param>
internal sealed record RunEntry(RunFolder Run, RunStatus Status, DateTimeOffset? Started);
