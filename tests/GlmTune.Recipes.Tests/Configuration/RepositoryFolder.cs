namespace GlmTune.Recipes.Tests.Configuration;

/// <summary>Files of the repository, for tests about what it ships.</summary>
internal static class RepositoryFolder
{
    public static string Of(params string[] parts)
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "GlmTune.slnx")))
        {
            folder =
                Path.GetDirectoryName(folder)
                ?? throw new InvalidOperationException("the tests run outside the repository");
        }

        return Path.Combine([folder, .. parts]);
    }
}
