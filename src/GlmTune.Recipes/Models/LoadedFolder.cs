using GlmTune.Checkpoints;

namespace GlmTune.Recipes.Models;

/// <summary>Verifies a folder that a command is about to load against the manifest that this program wrote with
/// it.</summary>
/// <remarks>Folders of other software have no such manifest, and are not checked here.</remarks>
internal static class LoadedFolder
{
    /// <summary>Compares a folder with its manifest.</summary>
    /// <param name="folder">A model, adapter or checkpoint folder.</param>
    /// <param name="hashes">Whether to hash the files, which brings them into the system's cache just before they are
    /// loaded; otherwise only names and sizes are compared.</param>
    /// <param name="note">Called with differences that are not errors: edited configuration files, and files that only
    /// resuming needs.</param>
    /// <exception cref="InvalidDataException">A file is missing or is not as it was written.</exception>
    public static void Verify(string folder, bool hashes, Action<string>? note = null)
    {
        var found = CheckpointFolder.CompareForUse(folder, hashes);
        Throw(folder, found.Problems);
        if (Describe(folder, found.Edited) is { } text)
        {
            note?.Invoke(text);
        }
    }

    /// <summary>Reports problems as one exception; returns if there are none.</summary>
    /// <exception cref="InvalidDataException">There are problems.</exception>
    public static void Throw(string folder, IReadOnlyList<string> problems)
    {
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{folder}: is damaged: "
                    + $"{string.Join("; ", problems.Take(3))}{(problems.Count > 3 ? "; …" : "")}. Copy it again. If "
                    + $"files were changed on purpose, accept them with glmtune checkpoint verify --accept {folder}."
            );
        }
    }

    /// <summary>A note about differences that are no errors; null if there are none.</summary>
    public static string? Describe(string folder, IReadOnlyList<string> edited) =>
        edited.Count == 0
            ? null
            : $"{folder}: differs from what was written, and is used as it is: {string.Join("; ", edited)}";
}
