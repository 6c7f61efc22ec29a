using System.IO.Hashing;
using System.Runtime.InteropServices;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Preprocessing;

/// <summary>Writes examples one after the other, for <see cref="ExampleFile"/>. Only the index, 16 bytes for each, is
/// kept in memory.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class ExampleFileWriter(Stream target)
{
    private const int BlockBytes = 1 << 20;

    private readonly XxHash128 hash = new();
    private readonly List<IndexEntry> index = [];
    private byte[] block = new byte[BlockBytes];
    private int used;
    private long written;

    /// <summary>Bytes so far.</summary>
    public long Length => written + used;

    /// <summary>Adds an example.</summary>
    /// <exception cref="IOException">The target cannot be written.</exception>
    public void Add(TokenizedExample example)
    {
        var size = StoredExample.SizeOf(example);
        if (size > block.Length - used)
        {
            Flush();
            block = size > block.Length ? new byte[size] : block;
        }

        index.Add(new IndexEntry(Length, example.TokenIds.Length, example.SupervisedTokens));
        StoredExample.Write(example, block.AsSpan(used, size));
        used += size;
    }

    /// <summary>Writes what comes after the examples.</summary>
    /// <param name="report">Any bytes.</param>
    /// <exception cref="IOException">The target cannot be written.</exception>
    public void Finish(byte[] report)
    {
        Flush();
        var start = written;
        Write(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(index)));
        var reportStart = written;
        Write(report);
        Write(new Footer(start, reportStart, written, index.Count, Footer.Current).ToBytes());
        target.Write(hash.GetHashAndReset());
    }

    private void Flush()
    {
        Write(block.AsSpan(0, used));
        used = 0;
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        hash.Append(bytes);
        target.Write(bytes);
        written += bytes.Length;
    }
}
