using NuGet.Configuration;

namespace GlmTune.Cli.Setup;

/// <summary>The package sources that this user has configured for NuGet.</summary>
internal static class NuGetSources
{
    /// <summary>The user's and the machine's settings. A file in the current folder, which may be anybody's, is not
    /// among them. NuGet writes the user's file, with its public source, where there is none.</summary>
    /// <exception cref="InvalidDataException">The settings cannot be read.</exception>
    public static ISettings UserSettings()
    {
        try
        {
            return Settings.LoadDefaultSettings(root: null);
        }
        catch (NuGetConfigurationException error)
        {
            throw new InvalidDataException($"{error.Message} Name a source with --source instead.", error);
        }
    }

    /// <summary>The sources that are enabled, in order: addresses and folders; at least one.</summary>
    /// <exception cref="InvalidDataException">There is none.</exception>
    public static IReadOnlyList<string> Of(ISettings settings)
    {
        string[] sources = [.. SettingsUtility.GetEnabledSources(settings).Select(source => source.Source)];
        return sources.Length > 0
            ? sources
            : throw new InvalidDataException(
                "NuGet's configuration has no enabled source. Name one with --source (an index.json or a folder with "
                    + "the package)."
            );
    }
}
