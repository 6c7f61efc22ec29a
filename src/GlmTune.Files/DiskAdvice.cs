namespace GlmTune.Files;

/// <summary>What a user can do about an error that the operating system reports for a file.</summary>
internal static class DiskAdvice
{
    private const int InputOutput = 5;
    private const int NoSpace = 28;
    private const int ReadOnly = 30;
    private const int Stale = 116;
    private const int Quota = 122;

    /// <summary>The advice for an exception or for one that caused it.</summary>
    /// <returns>A sentence; null if the error is not one of these.</returns>
    public static string? For(Exception? exception)
    {
        for (var error = exception; error is not null; error = error.InnerException)
        {
            if (Of(error) is { } advice)
            {
                return advice;
            }
        }

        return null;
    }

    private static string? Of(Exception error) =>
        error switch
        {
            UnauthorizedAccessException =>
                "Change the permissions of the file and its folder, or choose another folder.",
            IOException when error.Message.Contains("because the disk was full", StringComparison.Ordinal) => Space,
            IOException { HResult: NoSpace } => Space,
            IOException { HResult: Quota } =>
                "The quota of this file system is used up: delete files there, or choose another folder.",
            IOException { HResult: InputOutput or Stale } =>
                "The disk or the network file system failed. Check it (dmesg, or the file server), then run the "
                    + "command again.",
            IOException { HResult: ReadOnly } =>
                "The file system is read-only. Choose another folder, or mount it so that it can be written to.",
            _ => null,
        };

    private const string Space = "Free some space, or choose a folder on another disk.";
}
