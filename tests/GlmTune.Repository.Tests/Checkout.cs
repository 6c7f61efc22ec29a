using System.Text;

namespace GlmTune.Repository.Tests;

/// <summary>The files of the repository, without what builds and runs leave in it.</summary>
internal static class Checkout
{
    private static readonly HashSet<string> Left =
    [
        ".git",
        ".vs",
        ".idea",
        "bin",
        "obj",
        "artifacts",
        "output",
        "TestResults",
        "node_modules",
    ];

    /// <summary>Its folder.</summary>
    public static string Root { get; } = Path.GetFullPath(GoldenData.Path("../.."));

    /// <summary>Every file, relative to <see cref="Root"/>, with forward slashes, in order.</summary>
    public static IReadOnlyList<string> Files { get; } =
    [.. Below(Root).Select(Relative).Order(StringComparer.Ordinal)];

    /// <summary>Whether a file or folder is there.</summary>
    public static bool Has(string relative) => Path.Exists(Path.Combine(Root, relative));

    /// <summary>A file's text.</summary>
    public static string Text(string relative) => File.ReadAllText(Path.Combine(Root, relative));

    /// <summary>A file's text; null for one that is not text: it holds a zero byte, or no UTF-8.</summary>
    public static string? TextOrNull(string relative)
    {
        var bytes = File.ReadAllBytes(Path.Combine(Root, relative));
        try
        {
            return bytes.Contains((byte)0) ? null : new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    private static IEnumerable<string> Below(string folder) =>
        Directory
            .EnumerateFileSystemEntries(folder)
            .Where(entry => !Left.Contains(Path.GetFileName(entry)))
            .SelectMany(entry => Directory.Exists(entry) ? Below(entry) : [entry]);

    private static string Relative(string path) => Path.GetRelativePath(Root, path).Replace('\\', '/');
}
