namespace GlmTune.Cli.Language;

/// <summary>Which language messages are shown in.</summary>
internal static class MessageLanguage
{
    /// <summary>The variable that chooses the language, whatever the locale: <c>zh</c> or <c>en</c>.</summary>
    public const string Variable = "GLMTUNE_LANG";

    /// <summary>The catalogue that an environment asks for; null for English.</summary>
    /// <param name="variable">Reads a variable of the environment; null if it is not set.</param>
    /// <remarks>Of the locale's variables the first that is set decides, as POSIX says.</remarks>
    public static Catalogue? Of(Func<string, string?> variable) =>
        ((string[])[Variable, "LC_ALL", "LC_MESSAGES", "LANG"])
            .Select(variable)
            .FirstOrDefault(value => !string.IsNullOrEmpty(value))
            is { } name
        && name.StartsWith("zh", StringComparison.OrdinalIgnoreCase)
            ? Catalogue.Chinese
            : null;
}
