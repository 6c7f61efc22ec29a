using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Model;

namespace GlmTune.Recipes.Models;

/// <summary>Files beside a model's weights that are copied with them: tokenizer, generation settings, modeling
/// code.</summary>
internal static class ModelCompanions
{
    /// <summary>Copies the files that exist; files already in the target are kept.</summary>
    /// <param name="source">Model folder to copy from.</param>
    /// <param name="target">Folder of the new model.</param>
    /// <param name="layout">Layout of the new model.</param>
    /// <param name="sameLayout">Whether the source has the same layout.</param>
    public static void Copy(string source, string target, CheckpointLayout layout, bool sameLayout)
    {
        if (TokenizerFile.IsIn(source))
        {
            // The loaders of each layout expect different files.
            if (sameLayout)
            {
                TokenizerFile.Copy(source, target);
            }
            else if (layout == CheckpointLayout.Library)
            {
                TokenizerFile.WriteLibrary(TokenizerFile.Read(source), target);
            }
            else
            {
                TokenizerFile.WriteOriginal(TokenizerFile.Read(source), target);
            }
        }
        // A layout that needs modeling code beside the weights keeps it; it is copied, never run.
        var companions = sameLayout ? Directory.EnumerateFiles(source, "*.py").Select(Path.GetFileName) : [];
        foreach (var name in companions.Append(GenerationConfigFile.Name).OfType<string>())
        {
            var (from, to) = (Path.Combine(source, name), Path.Combine(target, name));
            if (File.Exists(from) && !File.Exists(to))
            {
                AtomicFile.Copy(from, to);
            }
        }
    }
}
