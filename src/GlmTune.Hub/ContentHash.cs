using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using GlmTune.Files;

namespace GlmTune.Hub;

/// <summary>The hash by which a site identifies the content of a file: SHA-256 of files in Git LFS, Git's SHA-1 of
/// small ones.</summary>
/// <param name="Hex">Lower-case hexadecimal digits: 64 or 40.</param>
internal sealed record ContentHash(string Hex)
{
    private const int Sha256Digits = 64;
    private const int GitDigits = 40;

    /// <summary>Whether this is Git's hash, which covers the size too.</summary>
    public bool IsGit => Hex.Length == GitDigits;

    /// <summary>Reads a hash, also as an HTTP entity tag (<c>W/"…"</c>); null if the text is none.</summary>
    public static ContentHash? TryParse(string? text)
    {
        var hex = (text ?? "").Trim();
        hex = (hex.StartsWith("W/", StringComparison.Ordinal) ? hex[2..] : hex).Trim('"').ToLowerInvariant();
        return hex.Length is Sha256Digits or GitDigits && hex.All(char.IsAsciiHexDigit) ? new ContentHash(hex) : null;
    }

    /// <summary>Starts to compute the hash of content.</summary>
    /// <param name="size">Size of the whole content in bytes.</param>
    /// <returns>To which the content is appended.</returns>
    public IncrementalHash Start(long size)
    {
        var hash = IncrementalHash.CreateHash(IsGit ? HashAlgorithmName.SHA1 : HashAlgorithmName.SHA256);
        if (IsGit)
        {
            hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {size}\0")));
        }

        return hash;
    }

    /// <summary>Whether the content of a started hash is the expected one.</summary>
    public bool Matches(IncrementalHash hash) => Convert.ToHexStringLower(hash.GetCurrentHash()) == Hex;

    /// <summary>Whether a file has the expected content.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public bool Matches(string path)
    {
        using var stream = RegularFile.OpenStream(path, bufferSize: 0);
        using var hash = Start(stream.Length);
        Append(stream, hash);
        return Matches(hash);
    }

    /// <summary>Appends the rest of a stream to a hash.</summary>
    /// <returns>The number of bytes read.</returns>
    internal static long Append(Stream stream, IncrementalHash hash)
    {
        var (buffer, total) = (new byte[1 << 20], 0L);
        for (int read; (read = stream.Read(buffer)) > 0; total += read)
        {
            hash.AppendData(buffer, 0, read);
        }

        return total;
    }
}
