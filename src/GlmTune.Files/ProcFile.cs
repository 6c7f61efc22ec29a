namespace GlmTune.Files;

/// <summary>Reads facts of the system from Linux's <c>/proc</c>.</summary>
internal static class ProcFile
{
    /// <summary>What follows a name at the start of a line, without colon and spaces; null if there is no such line or
    /// file.</summary>
    public static string? Value(string file, string name)
    {
        try
        {
            return File.ReadLines(file)
                .FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))
                ?[name.Length..].Trim(' ', '\t', ':');
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
