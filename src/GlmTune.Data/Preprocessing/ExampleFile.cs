using System.Buffers;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using GlmTune.Data.Templates;
using GlmTune.Files;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Data.Preprocessing;

/// <summary>Examples in a file that <see cref="ExampleFileWriter"/> has written. Each is read when it is asked
/// for.</summary>
/// <remarks>The file is a sequence of <see cref="StoredExample"/>s; an <see cref="IndexEntry"/> for each; a report; a
/// <see cref="Footer"/>. Numbers have the machine's order. Rows are read rather than mapped, so a file that somebody
/// truncates meanwhile is an error and does not end the process. The system keeps what was read in memory, for all
/// processes together, as long as it has room. Thread-safe.</remarks>
internal sealed class ExampleFile : ExampleList, IDisposable
{
    private const int BlockBytes = 1 << 20;
    private const int MaxReportBytes = 1 << 26;

    private readonly string path;
    private readonly SafeFileHandle file;
    private readonly Footer footer;
    private readonly int[] tokens;

    private ExampleFile(string path, SafeFileHandle file, Footer footer, int[] tokens, byte[] report) =>
        (this.path, this.file, this.footer, this.tokens, Report) = (path, file, footer, tokens, report);

    /// <summary>What the writer was given beside the examples.</summary>
    public byte[] Report { get; }

    /// <inheritdoc/>
    public override int Count => footer.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<int> Tokens => tokens;

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException">The file has changed since it was opened.</exception>
    public override TokenizedExample this[int index]
    {
        get
        {
            var start = EntryOf(index).Offset;
            var end = index + 1 < Count ? EntryOf(index + 1).Offset : footer.Index;
            if (start < 0 || end < start || end > footer.Index || end - start > Array.MaxLength)
            {
                throw Changed();
            }

            var size = (int)(end - start);
            var bytes = ArrayPool<byte>.Shared.Rent(size);
            try
            {
                Read(bytes.AsSpan(0, size), start);
                return StoredExample.Read(bytes.AsSpan(0, size));
            }
            catch (ArgumentException error)
            {
                throw new InvalidDataException(Changed().Message, error);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(bytes);
            }
        }
    }

    /// <inheritdoc/>
    public override int SupervisedTokensOf(int index) => EntryOf(index).Supervised;

    /// <summary>Opens a file and checks all of it.</summary>
    /// <returns>Null if it is not whole, was changed, or has another format.</returns>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static ExampleFile? Open(string path)
    {
        var file = RegularFile.Open(path);
        try
        {
            if (Check(file) is { } footer)
            {
                var report = new byte[footer.End - footer.Report];
                RegularFile.Read(file, report, footer.Report);
                return new ExampleFile(path, file, footer, TokensIn(file, footer), report);
            }

            file.Dispose();
            return null;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private static Footer? Check(SafeFileHandle file)
    {
        var length = RandomAccess.GetLength(file);
        var end = length - Footer.Size;
        var bytes = new byte[Footer.Size];
        if (end < 0 || RegularFile.Read(file, bytes, end) < bytes.Length)
        {
            return null;
        }

        var footer = Footer.Parse(bytes);
        return
            footer.IsOurs
            && footer.End == end
            && footer.Count >= 0
            && footer.Index >= 0
            && footer.Report == footer.Index + ((long)footer.Count * IndexEntry.Size)
            && footer.End - footer.Report is >= 0 and <= MaxReportBytes
            && HashOf(file, length - Footer.HashSize).AsSpan().SequenceEqual(bytes.AsSpan(^Footer.HashSize..))
            ? footer
            : null;
    }

    private static byte[] HashOf(SafeFileHandle file, long length)
    {
        var hash = new XxHash128();
        var block = new byte[BlockBytes];
        for (var at = 0L; at < length;)
        {
            var read = RegularFile.Read(file, block.AsSpan(0, (int)Math.Min(block.Length, length - at)), at);
            if (read == 0)
            {
                break;
            }

            hash.Append(block.AsSpan(0, read));
            at += read;
        }

        return hash.GetHashAndReset();
    }

    private static int[] TokensIn(SafeFileHandle file, Footer footer)
    {
        var tokens = new int[footer.Count];
        var entries = new IndexEntry[Math.Min(footer.Count, BlockBytes / IndexEntry.Size)];
        for (var at = 0; at < tokens.Length;)
        {
            var part = entries.AsSpan(0, Math.Min(entries.Length, tokens.Length - at));
            RegularFile.Read(file, MemoryMarshal.AsBytes(part), footer.Index + ((long)at * IndexEntry.Size));
            foreach (var entry in part)
            {
                tokens[at++] = entry.Tokens;
            }
        }

        return tokens;
    }

    private IndexEntry EntryOf(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        Span<IndexEntry> entry = stackalloc IndexEntry[1];
        Read(MemoryMarshal.AsBytes(entry), footer.Index + ((long)index * IndexEntry.Size));
        return entry[0];
    }

    private void Read(Span<byte> bytes, long offset)
    {
        if (RegularFile.Read(file, bytes, offset) < bytes.Length)
        {
            throw Changed();
        }
    }

    private InvalidDataException Changed() =>
        new(
            $"{path}: was changed while this run reads tokenized rows from it. Start the run again: the rows are then "
                + "tokenized again."
        );
}

/// <summary>Where an example is, and its sizes.</summary>
/// <param name="Offset">Offset of its first byte in the file; it ends where the next one starts.</param>
/// <param name="Tokens">Number of token ids.</param>
/// <param name="Supervised">Number of supervised tokens.</param>
internal readonly record struct IndexEntry(long Offset, int Tokens, int Supervised)
{
    /// <summary>Size in the file, in bytes.</summary>
    public const int Size = 16;
}

/// <summary>The end of a file of examples.</summary>
/// <param name="Index">Offset of the index.</param>
/// <param name="Report">Offset of the report.</param>
/// <param name="End">Offset of the footer.</param>
/// <param name="Count">Number of examples.</param>
/// <param name="Version">Version of the format.</param>
internal readonly record struct Footer(long Index, long Report, long End, int Count, int Version)
{
    /// <summary>The format that this program writes.</summary>
    public const int Current = 1;

    /// <summary>Size of the hash (XxHash128) of everything before it, with which the footer ends.</summary>
    public const int HashSize = 16;

    /// <summary>Size of the footer in bytes.</summary>
    public const int Size = 8 + (3 * sizeof(long)) + (2 * sizeof(int)) + HashSize;

    private static ReadOnlySpan<byte> Magic => "GLMROWS\n"u8;

    /// <summary>Whether the format is the one that this program writes.</summary>
    public bool IsOurs => Version == Current;

    /// <summary>Reads a footer; of another kind of file, its version is -1.</summary>
    public static Footer Parse(ReadOnlySpan<byte> bytes)
    {
        var offsets = MemoryMarshal.Cast<byte, long>(bytes[8..32]);
        var numbers = MemoryMarshal.Cast<byte, int>(bytes[32..40]);
        return new Footer(offsets[0], offsets[1], offsets[2], numbers[0], bytes.StartsWith(Magic) ? numbers[1] : -1);
    }

    /// <summary>The footer's bytes, without the hash.</summary>
    public byte[] ToBytes() =>
        [.. Magic, .. MemoryMarshal.AsBytes([Index, Report, End]), .. MemoryMarshal.AsBytes([Count, Version])];
}
