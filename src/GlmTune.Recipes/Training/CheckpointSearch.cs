using GlmTune.Checkpoints;
using GlmTune.Files;

namespace GlmTune.Recipes.Training;

/// <summary>Finds the checkpoint to resume from: rank 0 lists candidates, every rank reads and hashes a share of the
/// files, and all agree on one result.</summary>
/// <param name="ranks">The ranks.</param>
/// <param name="note">Called with what is wrong with checkpoints that are skipped; the same on each rank.</param>
internal sealed class CheckpointSearch(RunRanks ranks, Action<string> note)
{
    /// <summary>Removes incomplete checkpoints of interrupted runs, and resolves RESUME.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="resume">As accepted by <see cref="CheckpointFolder.Candidates"/>.</param>
    /// <returns>Path of an intact checkpoint; null: start from scratch.</returns>
    /// <exception cref="InvalidDataException">RESUME names a checkpoint that does not exist, or all candidates are
    /// damaged.</exception>
    public string? Find(string output, string? resume)
    {
        // Rank 0's list counts: on a network file system, other ranks may see changes later.
        var candidates = ranks.FromFirst(() =>
        {
            AtomicFolder.RemoveStale(output, note);
            return CheckpointFolder.Candidates(output, resume);
        });
        List<string> damaged = [];
        foreach (var folder in candidates)
        {
            if (FindProblems(folder, named: !CheckpointFolder.IsNewest(resume)) is not { } problem)
            {
                damaged.ForEach(passed => note($"{passed}; resuming from {folder} instead"));
                return folder;
            }

            damaged.Add($"{folder} is damaged: {problem}");
        }

        return damaged.Count == 0
            ? null
            : ranks.RunOnAllOrFail<string?>(() =>
                throw new InvalidDataException(
                    $"{string.Join('\n', damaged)}\nNo intact checkpoint to resume from. Name another one, "
                        + "or pass no to start from scratch. If a file was changed on purpose, delete the checkpoint's "
                        + $"{FolderManifest.FileName} and name the checkpoint."
                )
            );
    }

    /// <summary>What is wrong with a checkpoint, as found by any rank; null if it is intact.</summary>
    /// <param name="folder">The checkpoint; the same on each rank.</param>
    /// <param name="named">Whether the user named this checkpoint: then the manifest, which only proves that it is
    /// intact, may be missing.</param>
    public string? FindProblems(string folder, bool named = false)
    {
        var unmarked = named && !ranks.FirstFinds(() => File.Exists(Path.Combine(folder, FolderManifest.FileName)));
        var own = unmarked ? new FolderFindings([], []) : CheckpointFolder.Compare(folder, ranks.Rank, ranks.Count);
        List<string> all = [.. ranks.FromAll([.. own.Problems]).SelectMany(said => said).Distinct()];
        List<string> edited = [.. ranks.FromAll([.. own.Edited]).SelectMany(said => said).Distinct()];
        if (all.Count == 0 && edited.Count > 0)
        {
            note(
                $"{folder}: files have been edited since it was written, and are used as they are now: "
                    + $"{string.Join(", ", edited.Select(name => $"'{name}'"))}"
            );
        }

        return all.Count == 0 ? null : $"{string.Join("; ", all.Take(3))}{(all.Count > 3 ? "; …" : "")}";
    }
}
