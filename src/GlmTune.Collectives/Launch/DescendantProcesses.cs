using System.Globalization;

namespace GlmTune.Collectives;

/// <summary>Finds ranks below another launcher, so that signals reach them and not it. Linux only: reads
/// <c>/proc</c>.</summary>
internal static class DescendantProcesses
{
    /// <summary>Numbers of the processes below <paramref name="ancestor"/> that run <paramref name="program"/>; none
    /// where that cannot be known.</summary>
    public static int[] Running(string program, int ancestor)
    {
        if (!OperatingSystem.IsLinux())
        {
            return [];
        }

        var file = FileBehind(OnPath(program));
        var children = Directory
            .EnumerateDirectories("/proc")
            .Select(folder =>
                int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var process)
                    ? process
                    : 0
            )
            .Where(process => process > 0)
            .ToLookup(ParentOf);
        var found = new List<int>();
        var below = new Queue<int>(children[ancestor]);
        while (below.TryDequeue(out var process))
        {
            if (FileBehind($"/proc/{process}/exe") == file)
            {
                found.Add(process); // what a rank starts is the rank's affair
            }
            else
            {
                foreach (var child in children[process])
                {
                    below.Enqueue(child);
                }
            }
        }

        return [.. found];
    }

    // Fields of stat: number, (name, in which anything may stand), state, parent.
    private static int ParentOf(int process)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{process}/stat");
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0; // it has ended meanwhile
        }
    }

    // The name alone: folders may be links, which are not followed.
    private static string FileBehind(string path)
    {
        try
        {
            return Path.GetFileName(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return Path.GetFileName(path);
        }
    }

    private static string OnPath(string program) =>
        program.Contains('/', StringComparison.Ordinal) ? program : SearchPath.Find(program) ?? program;
}
