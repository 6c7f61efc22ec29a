using GlmTune.Hub;
using GlmTune.Hub.Downloading;
using GlmTune.Model;
using GlmTune.Model.Adapters;

namespace GlmTune.Recipes.Models;

/// <summary>Downloads a model after checking that it can be used: its architecture, and its layout if one was asked
/// for.</summary>
internal static class PullModel
{
    private const string LibrarySuffix = "-hf";

    /// <summary>Downloads a model into the cache of its site.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="site">Where it is downloaded from.</param>
    /// <param name="layout">The layout that its weights must have; null: either.</param>
    /// <param name="progressed">Called with the progress, from any thread.</param>
    /// <param name="note">Called with notes for the user.</param>
    /// <param name="stop">Cancels the download; what was received is kept.</param>
    /// <exception cref="InvalidDataException">The site does not have the model or refuses it, it is not supported,
    /// it has another layout, or files are not as listed.</exception>
    /// <exception cref="IOException">The site cannot be reached, or the cache cannot be written.</exception>
    public static Task<PulledModel> RunAsync(
        HubName name,
        ModelSite site,
        CheckpointLayout? layout,
        Action<PullProgress> progressed,
        Action<string> note,
        CancellationToken stop
    ) =>
        new ModelPull
        {
            Progressed = progressed,
            Noted = note,
            Examine = folder => Examine(name, layout, folder),
        }.RunAsync(site, name, stop);

    /// <summary>Checks what can be known without weights.</summary>
    /// <param name="name">The model's name, for messages.</param>
    /// <param name="layout">The layout that it must have; null: either.</param>
    /// <param name="folder">Folder with its configuration.</param>
    /// <exception cref="InvalidDataException">It is not supported, or has another layout.</exception>
    internal static void Examine(HubName name, CheckpointLayout? layout, string folder)
    {
        if (AdapterConfigFile.IsIn(folder))
        {
            _ = AdapterConfigFile.Read(folder);
            return;
        }

        var found = ModelConfig.Read(folder).Layout;
        if (layout is null || found == layout)
        {
            return;
        }

        // The published models come in pairs: NAME in the original layout, NAME-hf in the library's.
        var other =
            found == CheckpointLayout.Original ? name.Name + LibrarySuffix
            : name.Name.EndsWith(LibrarySuffix, StringComparison.Ordinal) ? name.Name[..^LibrarySuffix.Length]
            : null;
        var (word, wanted) = found == CheckpointLayout.Original ? ("original", "hf") : ("hf", "original");
        throw new InvalidDataException(
            $"{name}: its weights have the {word} layout. No weights were downloaded. Either layout can be trained and "
                + "served, so --layout is seldom needed. "
                + (other is null ? "" : $"The {wanted} layout is usually published as {name.Owner}/{other}. ")
                + $"To convert a downloaded model: glmtune merge {name} OUT --layout {wanted}"
        );
    }
}
