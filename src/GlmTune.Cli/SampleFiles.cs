using GlmTune.Files;

namespace GlmTune.Cli;

/// <summary>Copies a folder of files that come with the program, without overwriting anything.</summary>
internal static class SampleFiles
{
    /// <summary>Copies all files below a folder; those that are there already with the same bytes stay.</summary>
    /// <param name="source">The folder that comes with the program.</param>
    /// <param name="target">Where to put the files; created if it is missing.</param>
    /// <returns>How many files were written.</returns>
    /// <exception cref="InvalidDataException">The program came without them, or other files have their names. Nothing
    /// was written.</exception>
    public static int Copy(string source, string target)
    {
        if (!Directory.Exists(source))
        {
            throw new InvalidDataException(
                $"{source}: folder not found. This copy of the program came without its sample; install it again."
            );
        }

        if (File.Exists(target))
        {
            throw new InvalidDataException($"{target}: is a file; expected the name of a folder.");
        }

        var files = Directory
            .EnumerateFiles(source, "*", SearchOption.AllDirectories)
            .Select(file => (From: file, To: Path.Combine(target, Path.GetRelativePath(source, file))))
            .Where(file => !IsSame(file.From, file.To))
            .OrderBy(file => file.To, StringComparer.Ordinal)
            .ToList();
        var occupied = files
            .Select(file => File.Exists(Path.GetDirectoryName(file.To)) ? Path.GetDirectoryName(file.To)! : file.To)
            .Where(Path.Exists)
            .Distinct()
            .ToList();
        if (occupied.Count > 0)
        {
            throw new InvalidDataException(
                $"{target}: other files have the names of the sample's, and were not replaced: "
                    + $"{string.Join(", ", occupied)}. Choose another folder, or remove them."
            );
        }

        foreach (var (from, to) in files)
        {
            AtomicFile.Copy(from, to);
        }

        return files.Count;
    }

    private static bool IsSame(string file, string other) =>
        File.Exists(other)
        && new FileInfo(file).Length == new FileInfo(other).Length
        && RegularFile.ReadBytes(file).AsSpan().SequenceEqual(RegularFile.ReadBytes(other));
}
