using GlmTune.Checkpoints;
using GlmTune.Files;

namespace GlmTune.Recipes.Models;

/// <summary>What a check of one folder found.</summary>
/// <param name="Folder">The folder.</param>
/// <param name="Problems">What is wrong; empty if it is intact.</param>
/// <param name="Notes">Differences that are not errors.</param>
public sealed record VerifiedFolder(string Folder, IReadOnlyList<string> Problems, IReadOnlyList<string> Notes)
{
    /// <summary>One line for the folder, and one for each problem and note.</summary>
    public string Describe() =>
        string.Join(
            '\n',
            [
                $"{Folder}: {(Problems.Count == 0 ? "intact" : "damaged")}",
                .. Problems.Select(problem => $"  {problem}"),
                .. Notes.Select(note => $"  note: {note}"),
            ]
        );
}

/// <summary>Compares checkpoints, adapters and models with the manifests that this program wrote with them.</summary>
public static class VerifyCheckpoint
{
    /// <summary>Reads and hashes all files of a folder, or of all checkpoints in it.</summary>
    /// <param name="path">A checkpoint, adapter or model folder, or an output folder with checkpoints.</param>
    /// <exception cref="InvalidDataException">There is nothing to verify.</exception>
    public static IReadOnlyList<VerifiedFolder> Run(string path)
    {
        var steps = CheckpointFolder.Steps(Existing(path));
        if (IsOne(path))
        {
            return [Verify(path)];
        }

        return steps.Count > 0
            ? [.. steps.Select(step => Verify(CheckpointFolder.PathOf(path, step)))]
            : throw new InvalidDataException(
                $"{path}: has neither {FolderManifest.FileName} nor checkpoints, so there is nothing to verify."
            );
    }

    /// <summary>Writes a new manifest, so that a folder's files count as intact the way they are now.</summary>
    /// <param name="path">The folder.</param>
    /// <returns>Intact, with a note for each difference that was accepted.</returns>
    /// <exception cref="InvalidDataException">The folder is not one that this program wrote.</exception>
    public static VerifiedFolder Accept(string path)
    {
        if (!IsOne(Existing(path)))
        {
            throw new InvalidDataException(
                $"{path}: has neither {FolderManifest.FileName} nor {TrainingState.FileName}; expected a checkpoint, "
                    + "adapter or model folder that glmtune wrote."
            );
        }

        var before = Verify(path);
        FolderManifest.Write(path);
        return new VerifiedFolder(
            path,
            [],
            [.. before.Problems.Concat(before.Notes).Select(text => $"accepted: {text}")]
        );
    }

    private static string Existing(string path) =>
        Directory.Exists(path) ? path : throw new InvalidDataException($"{path}: folder not found.");

    private static bool IsOne(string path) =>
        File.Exists(Path.Combine(path, FolderManifest.FileName))
        || File.Exists(Path.Combine(path, TrainingState.FileName));

    private static VerifiedFolder Verify(string folder)
    {
        var found = CheckpointFolder.Compare(folder);
        return new VerifiedFolder(
            folder,
            found.Problems,
            [.. found.Edited.Select(name => $"'{name}' has been edited")]
        );
    }
}
