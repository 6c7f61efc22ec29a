namespace GlmTune.Cli.Diagnosis;

/// <summary>How a finding is to be taken.</summary>
internal enum FindingLevel
{
    Ok,
    Warning,
    Error,
}

/// <summary>One line of <c>glmtune doctor</c>.</summary>
/// <param name="Level">How it is to be taken.</param>
/// <param name="Name">What was looked at.</param>
/// <param name="Found">What was found.</param>
/// <param name="Advice">What to do; null if nothing.</param>
internal sealed record Finding(FindingLevel Level, string Name, string Found, string? Advice = null)
{
    public static Finding Ok(string name, string found) => new(FindingLevel.Ok, name, found);

    public static Finding Warning(string name, string found, string advice) =>
        new(FindingLevel.Warning, name, found, advice);

    public static Finding Error(string name, string found, string advice) =>
        new(FindingLevel.Error, name, found, advice);
}
