using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;

namespace GlmTune.Files;

/// <summary>Identifies a set of files by names, sizes and contents, regardless of folder and modification
/// time.</summary>
/// <remarks>Files up to 1 MiB are read whole. Of larger files, the start, the end and 256 pieces in between are read.
/// Training that changes weights changes these pieces; a change of a few bytes in a large file may go
/// unnoticed.</remarks>
internal static class ContentFingerprint
{
    private const int WholeBytes = 1 << 20;
    private const int Pieces = 256;
    private const int PieceBytes = 4096;

    /// <summary>The fingerprint of some files: 32 hexadecimal digits.</summary>
    /// <param name="paths">Existing files; their order does not matter.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static string Of(IEnumerable<string> paths)
    {
        var hash = new XxHash128();
        foreach (var path in paths.OrderBy(Path.GetFileName, StringComparer.Ordinal))
        {
            Append(hash, path);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(XxHash128 hash, string path)
    {
        using var handle = RegularFile.Open(path);
        var length = RandomAccess.GetLength(handle);
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(number, length);
        hash.Append(Encoding.UTF8.GetBytes(Path.GetFileName(path)));
        hash.Append(number);
        var buffer = new byte[length <= WholeBytes ? (int)length : PieceBytes];
        if (length <= WholeBytes)
        {
            Storage.TryReadExactly(handle, buffer, 0);
            hash.Append(buffer);
            return;
        }

        for (var piece = 0; piece < Pieces; piece++)
        {
            // The last piece ends at the end of the file.
            var offset = (long)((length - PieceBytes) * (piece / (double)(Pieces - 1)));
            Storage.TryReadExactly(handle, buffer, offset);
            hash.Append(buffer);
        }
    }
}
