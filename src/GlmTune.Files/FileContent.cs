using System.Globalization;
using System.Text;

namespace GlmTune.Files;

/// <summary>Recognizes files whose content is not what their names say, such as those left by a failed
/// download.</summary>
internal static class FileContent
{
    /// <summary>Why pickles are refused; a phrase to follow the file's path and a colon.</summary>
    public const string Pickle =
        "is a Python pickle, which can run code when it is opened, so it is not read. Convert it to safetensors with "
        + "the software that made it.";

    private const int HeadBytes = 512;
    private const string LfsVersion = "version https://git-lfs.github.com/spec/";
    private static readonly string[] PickleEndings = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];
    private static readonly string[] Markup = ["<!doctype", "<html", "<head", "<body", "<?xml", "<error"];

    // Plain-text answers of model hubs.
    private static readonly string[] ServerAnswers =
    [
        "Entry not found",
        "Repository not found",
        "Invalid username or password",
        "Invalid credentials",
        "Access to model ",
        "Unauthorized",
        "Forbidden",
        "Not Found",
        "404 Not Found",
        "404: Not Found",
        "403 Forbidden",
        "401 Unauthorized",
        "Moved Permanently",
        "Temporary Redirect",
        "Too Many Requests",
        "Bad Gateway",
        "Service Unavailable",
        "Gateway Time",
        "Internal Server Error",
    ];

    /// <summary>Whether a file name has an extension of Python's pickles.</summary>
    public static bool IsPickleName(string path) =>
        PickleEndings.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    /// <summary>Describes what is wrong with a file's content, whatever format was expected.</summary>
    /// <param name="path">An existing file. It is opened only if it has a length: pipes and devices have none, and
    /// reading them might block forever.</param>
    /// <returns>A phrase to follow the path and a colon; null if no problem was recognized.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static string? FindProblem(string path)
    {
        var length = LengthOf(path);
        if (length == 0)
        {
            return "is empty, or is not a regular file. Is the download complete?";
        }

        using var stream = RegularFile.OpenStream(path, bufferSize: 0);
        var head = new byte[(int)Math.Min(length, HeadBytes)];
        return FindProblem(head.AsSpan(0, stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)), length);
    }

    /// <summary>Throws if <see cref="FindProblem(string)"/> finds a problem.</summary>
    /// <exception cref="InvalidDataException">The content is of another kind.</exception>
    public static void Check(string path)
    {
        if (FindProblem(path) is { } problem)
        {
            throw new InvalidDataException($"{path}: {problem}");
        }
    }

    /// <summary>The same for bytes in memory.</summary>
    /// <param name="head">The first bytes of the file; 512 suffice.</param>
    /// <param name="length">Size of the whole file in bytes.</param>
    internal static string? FindProblem(ReadOnlySpan<byte> head, long length)
    {
        // A safetensors file starts with a length below 2^32, whose bytes are arbitrary, and a brace.
        if (head is [_, _, _, _, 0, 0, 0, 0, (byte)'{', ..])
        {
            return null;
        }

        if (head.StartsWith("PK\x3\x4"u8) || (head.Length > 2 && head[0] == 0x80 && head[1] is >= 2 and <= 5))
        {
            return Pickle;
        }

        if (head.StartsWith("GGUF"u8))
        {
            return "is a GGUF file; only safetensors are read.";
        }

        if (head.StartsWith((ReadOnlySpan<byte>)[0x1f, 0x8b]))
        {
            return "is compressed with gzip. Unpack it first.";
        }

        var text = Encoding.UTF8.GetString(head).TrimStart('\ufeff', ' ', '\t', '\r', '\n', '\0');
        if (text.StartsWith(LfsVersion, StringComparison.Ordinal))
        {
            return $"is a Git LFS pointer of {length} bytes, not the file itself{SizeIn(text)}. Fetch it with "
                + "'git lfs pull', or download the file.";
        }

        if (Markup.Any(tag => text.StartsWith(tag, StringComparison.OrdinalIgnoreCase)))
        {
            return "is a web page, not the expected file: an error or login page was saved in its place. Download "
                + "it again.";
        }

        return
            ServerAnswers.Any(answer => text.StartsWith(answer, StringComparison.OrdinalIgnoreCase))
            || IsErrorObject(text)
            ? $"is a server's error message, not the expected file: \"{FirstLine(text)}\". Download it again."
            : null;
    }

    /// <summary>The start of a file as text; null if it is not text.</summary>
    internal static string? TextAtStart(ReadOnlySpan<byte> head)
    {
        foreach (var each in head)
        {
            if (each is < 0x20 or > 0x7e && each is not ((byte)'\n' or (byte)'\r' or (byte)'\t'))
            {
                return null;
            }
        }

        return FirstLine(Encoding.ASCII.GetString(head));
    }

    // Links are followed, as they are when the file is opened.
    private static long LengthOf(string path)
    {
        var file = new FileInfo(path);
        return file.LinkTarget is null
            ? file.Length
            : (file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo)?.Length ?? 0;
    }

    private static string SizeIn(string pointer)
    {
        const string key = "\nsize ";
        var at = pointer.IndexOf(key, StringComparison.Ordinal);
        var number = at < 0 ? "" : pointer[(at + key.Length)..].Split('\n')[0].Trim();
        return long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes)
            ? string.Create(CultureInfo.InvariantCulture, $", which has {bytes:N0} bytes")
            : "";
    }

    // {"error": "…"} and {"Code": …, "Message": …} from model hubs.
    private static bool IsErrorObject(string text)
    {
        var compact = new string([.. text.Where(c => !char.IsWhiteSpace(c)).Take(64)]);
        return compact.StartsWith("{\"error\":", StringComparison.OrdinalIgnoreCase)
            || compact.StartsWith("{\"Code\":", StringComparison.Ordinal);
    }

    private static string FirstLine(string text)
    {
        var line = text.Split('\n')[0].Trim();
        return line.Length > 80 ? line[..80] + "…" : line;
    }
}
