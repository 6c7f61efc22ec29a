using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Recipes.Models;

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
            if (FindProblems(folder) is not { } problem)
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
                    $"{string.Join('\n', damaged)}\nNo intact checkpoint to resume from. Name another one, or pass no "
                        + "to start from scratch. If files were changed on purpose, accept them with glmtune "
                        + "checkpoint verify --accept CHECKPOINT."
                )
            );
    }

    /// <summary>Verifies the files of the base model as its weights are about to be read; each rank hashes a
    /// share.</summary>
    /// <param name="folder">The model folder; the same on each rank.</param>
    /// <exception cref="InvalidDataException">A file is not as this program wrote it.</exception>
    public void VerifyModel(string folder)
    {
        var own = CheckpointFolder.CompareForUse(folder, hashes: true, ranks.Rank, ranks.Count);
        List<string> all = [.. ranks.FromAll([.. own.Problems]).SelectMany(said => said).Distinct()];
        List<string> edited = [.. ranks.FromAll([.. own.Edited]).SelectMany(said => said).Distinct()];
        ranks.RunOnAllOrFail(() => LoadedFolder.Throw(folder, all));
        if (LoadedFolder.Describe(folder, edited) is { } text)
        {
            note(text);
        }
    }

    /// <summary>What is wrong with a checkpoint, as found by any rank; null if it is intact.</summary>
    /// <param name="folder">The checkpoint; the same on each rank.</param>
    public string? FindProblems(string folder)
    {
        var own = CheckpointFolder.Compare(folder, ranks.Rank, ranks.Count);
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
