namespace GlmTune;

/// <summary>Where the tests find reference values: the repository's own, and those that may not ship.</summary>
internal static class GoldenData
{
    private static readonly Lazy<string> Root = new(FindRoot);

    /// <summary>A file or folder under <c>tests/Golden</c>, such as <c>glm-tiny/batch.json</c>.</summary>
    public static string Path(string relative) => System.IO.Path.Combine(Root.Value, "tests", "Golden", relative);

    /// <summary>A file or folder under the data folder that GLMTUNE_SHARED holds, such as <c>glm4/tokenizer.model</c>;
    /// skips the test where the variable is unset.</summary>
    public static string Shared(string relative)
    {
        var shared = Environment.GetEnvironmentVariable("GLMTUNE_SHARED");
        Assert.SkipWhen(
            string.IsNullOrEmpty(shared),
            $"GLMTUNE_SHARED is not set; this test needs its data/{relative}."
        );
        return System.IO.Path.Combine(shared!, "data", relative);
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(System.IO.Path.Combine(folder.FullName, "GlmTune.slnx")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName
            ?? throw new DirectoryNotFoundException($"No folder above {AppContext.BaseDirectory} holds GlmTune.slnx.");
    }
}
