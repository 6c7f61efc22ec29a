using GlmTune.Checkpoints;
using GlmTune.Files;

namespace GlmTune.Recipes.Training;

/// <summary>Finds the checkpoint that a run resumes from: rank 0 looks, every rank reads and hashes a share of the
/// files, and all come to one answer.</summary>
/// <param name="ranks">The ranks.</param>
/// <param name="note">Gets what is wrong with checkpoints that are passed over; the same on each rank.</param>
internal sealed class CheckpointSearch(RunRanks ranks, Action<string> note)
{
    /// <summary>Removes what interrupted runs left half-written, and finds what RESUME means.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="resume">As <see cref="CheckpointFolder.Candidates"/> takes it.</param>
    /// <returns>A whole checkpoint; null: the run starts from scratch.</returns>
    /// <exception cref="InvalidDataException">RESUME means none that there is, or only damaged ones.</exception>
    public string? Find(string output, string? resume)
    {
        // Rank 0's list counts: others may see what changed on a network's file system a little later.
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

    /// <summary>What is wrong with a checkpoint, on any rank; null: it is whole.</summary>
    /// <param name="folder">The checkpoint; the same on each rank.</param>
    /// <param name="named">Whether somebody asked for this very one: then it may lack what only says whether it is
    /// whole.</param>
    public string? FindProblems(string folder, bool named = false)
    {
        var unmarked = named && !ranks.FirstFinds(() => File.Exists(Path.Combine(folder, FolderManifest.FileName)));
        var own = unmarked ? new FolderFindings([], []) : CheckpointFolder.Compare(folder, ranks.Rank, ranks.Count);
        List<string> all = [.. ranks.FromAll([.. own.Problems]).SelectMany(said => said).Distinct()];
        List<string> edited = [.. ranks.FromAll([.. own.Edited]).SelectMany(said => said).Distinct()];
        if (all.Count == 0 && edited.Count > 0)
        {
            note(
                $"{folder}: changed since it was written, and read as it is now: "
                    + $"{string.Join(", ", edited.Select(name => $"'{name}'"))}"
            );
        }

        return all.Count == 0 ? null : $"{string.Join("; ", all.Take(3))}{(all.Count > 3 ? "; …" : "")}";
    }
}
