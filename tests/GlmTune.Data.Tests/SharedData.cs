using System.Text.Json;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests;

/// <summary>The real GLM-4 tokenizer, loaded once, and reference data that may not ship; tests that need them are
/// skipped without.</summary>
internal static class SharedData
{
    private static readonly Lazy<Tokenizer> LoadedGlm4 = new(() => TokenizerFile.Read(GoldenData.Shared("glm4")));

    public static Tokenizer Glm4
    {
        get
        {
            _ = GoldenData.Shared("glm4"); // Skips; a skip inside the lazy value would be remembered as its failure.
            return LoadedGlm4.Value;
        }
    }

    public static JsonElement Json(string path) => JsonFile(GoldenData.Shared(path));

    public static JsonElement JsonFile(string path) => JsonDocument.Parse(File.ReadAllBytes(path)).RootElement;
}
