using System.Globalization;

namespace GlmTune.Collectives;

/// <summary>Finds ranks started by another launcher, so that signals reach the ranks and not the launcher. Linux only:
/// reads <c>/proc</c>.</summary>
internal static class DescendantProcesses
{
    /// <summary>Ids of the descendant processes of <paramref name="ancestor"/> that run <paramref name="program"/>;
    /// empty if they cannot be determined.</summary>
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
                found.Add(process); // processes started by a rank are left to that rank
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

    // Fields of stat: id, (name, which may contain any character), state, parent.
    private static int ParentOf(int process)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{process}/stat");
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0; // ended meanwhile
        }
    }

    // Compare only the name: folders may be links, which are not resolved.
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
