using System.Text.Json;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests;

/// <summary>Reference data that may not ship: the folder named by GLMTUNE_SHARED. Tests that need it are skipped without it.</summary>
public static class SharedData
{
    private static readonly string? Folder = Environment.GetEnvironmentVariable("GLMTUNE_SHARED");
    private static readonly Lazy<Tokenizer> LoadedGlm4 = new(() => TokenizerFile.Read(PathOf("data/glm4")));

    /// <summary>The real GLM-4 tokenizer.</summary>
    public static Tokenizer Glm4
    {
        get
        {
            Require();
            return LoadedGlm4.Value;
        }
    }

    public static string PathOf(string path)
    {
        Require();
        return Path.Combine(Folder!, path);
    }

    public static JsonElement Json(string path) => JsonDocument.Parse(File.ReadAllBytes(PathOf(path))).RootElement;

    private static void Require() => Assert.SkipWhen(string.IsNullOrEmpty(Folder), "GLMTUNE_SHARED does not name the folder of reference data that may not ship.");
}
