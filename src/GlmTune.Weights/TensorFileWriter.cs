using GlmTune.Files;

namespace GlmTune.Weights;

/// <summary>Writes a file of tensors whose header names all of them, tensor by tensor, so that only one needs to be in
/// memory.</summary>
/// <remarks>Until <see cref="Complete"/> has flushed and renamed it, the file has the extension <c>.tmp</c>; disposing
/// before that removes it. Not thread-safe.</remarks>
internal abstract class TensorFileWriter : IDisposable
{
    private readonly string path;
    private readonly string aside;
    private readonly DiskFile file;
    private readonly Dictionary<string, PendingTensor> pending = new(StringComparer.Ordinal);
    private bool closed;

    protected TensorFileWriter(string path, FileLayout layout)
    {
        this.path = path;
        aside = path + ".tmp";
        foreach (var place in layout.Tensors)
        {
            if (!pending.TryAdd(place.Name, new PendingTensor(place)))
            {
                throw new ArgumentException($"{path}: '{place.Name}' is declared twice.", nameof(layout));
            }
        }

        file = new DiskFile(aside, FileMode.Create, size: layout.Length);
        try
        {
            file.WriteAt(layout.Header, 0);
            // Space between tensors is never written to.
            file.SetLength(layout.Length);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Whether all bytes of all tensors have been written.</summary>
    internal bool IsFull => pending.Values.All(tensor => tensor.Written == tensor.Place.ByteCount);

    /// <summary>Writes a tensor, or its next piece.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="bytes">Elements, little-endian and row-major.</param>
    /// <exception cref="ArgumentException">The name was not declared, or the tensor would get more bytes than its type
    /// and shape require.</exception>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(closed, this);
        if (!pending.TryGetValue(name, out var tensor))
        {
            throw new ArgumentException($"{path}: '{name}' was not declared.", nameof(name));
        }

        var place = tensor.Place;
        if (bytes.Length > place.ByteCount - tensor.Written)
        {
            throw new ArgumentException(
                $"{path}: '{name}' ({place.Description}) has {place.ByteCount} bytes; {tensor.Written} are "
                    + $"already written, so {bytes.Length} more do not fit.",
                nameof(bytes)
            );
        }

        file.WriteAt(bytes, place.Offset + tensor.Written);
        tensor.Written += bytes.Length;
    }

    /// <summary>Writes a tensor, or its next piece, from memory at an address. Needed above 2 GB, the limit of
    /// spans.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="source">Start of the memory.</param>
    /// <param name="byteCount">Number of bytes to write.</param>
    /// <exception cref="ArgumentException">As for the other overload.</exception>
    public unsafe void Write(string name, nint source, long byteCount)
    {
        const int piece = 1 << 30;
        for (long done = 0; done < byteCount; done += piece)
        {
            Write(name, new ReadOnlySpan<byte>((byte*)source + done, (int)Math.Min(piece, byteCount - done)));
        }
    }

    /// <summary>Flushes the file to disk and renames it to its final name.</summary>
    /// <exception cref="InvalidOperationException">Declared tensors are incomplete; the message lists them
    /// all.</exception>
    public void Complete()
    {
        ObjectDisposedException.ThrowIf(closed, this);
        var lacking = pending
            .Values.Where(tensor => tensor.Written < tensor.Place.ByteCount)
            .Select(tensor => tensor.Place.Name)
            .ToList();
        if (lacking.Count > 0)
        {
            throw new InvalidOperationException($"{path}: incomplete: {string.Join(", ", lacking)}.");
        }

        file.FlushToDisk();
        file.Dispose();
        closed = true;
        AtomicFile.Publish(aside, path);
    }

    /// <summary>Closes the file; removes it unless it was completed.</summary>
    public void Dispose()
    {
        if (!closed)
        {
            closed = true;
            file.Dispose();
            Disk.TryDeleteFile(aside);
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>A tensor's bytes in a file.</summary>
    /// <param name="Name">The tensor's name.</param>
    /// <param name="Description">Type and shape, for messages.</param>
    /// <param name="Offset">Offset from the start of the file, in bytes.</param>
    /// <param name="ByteCount">Size in bytes.</param>
    protected sealed record TensorPlace(string Name, string Description, long Offset, long ByteCount);

    /// <summary>A planned file.</summary>
    /// <param name="Header">The bytes before the data.</param>
    /// <param name="Tensors">The tensors, in any order.</param>
    /// <param name="Length">Length of the file, in bytes.</param>
    protected sealed record FileLayout(byte[] Header, IReadOnlyList<TensorPlace> Tensors, long Length);

    private sealed class PendingTensor(TensorPlace place)
    {
        public TensorPlace Place { get; } = place;

        public long Written { get; set; }
    }
}
