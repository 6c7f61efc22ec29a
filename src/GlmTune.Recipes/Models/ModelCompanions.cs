using GlmTune.Data.Tokenization;
using GlmTune.Inference;
using GlmTune.Model;

namespace GlmTune.Recipes.Models;

/// <summary>What lies beside a model's weights and goes where they go: tokenizer, generation settings, modeling
/// code.</summary>
internal static class ModelCompanions
{
    /// <summary>Copies what there is; files that are there already stay.</summary>
    /// <param name="source">A model's folder.</param>
    /// <param name="target">The new model's.</param>
    /// <param name="layout">Whose files the new model has.</param>
    /// <param name="sameLayout">Whether the source has the same.</param>
    public static void Copy(string source, string target, CheckpointLayout layout, bool sameLayout)
    {
        if (TokenizerFile.IsIn(source))
        {
            // Each layout's loaders look for files of their own.
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
        // A layout that needs modeling code beside it keeps it; it is copied, never run.
        var companions = sameLayout ? Directory.EnumerateFiles(source, "*.py").Select(Path.GetFileName) : [];
        foreach (var name in companions.Append(GenerationConfigFile.Name).OfType<string>())
        {
            var (from, to) = (Path.Combine(source, name), Path.Combine(target, name));
            if (File.Exists(from) && !File.Exists(to))
            {
                File.Copy(from, to);
            }
        }
    }
}
