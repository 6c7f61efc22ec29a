using GlmTune.Files;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Weights;

/// <summary>Writes a safetensors file tensor by tensor, so that only one of them needs to be in memory.</summary>
/// <remarks>Names, types and shapes are declared first; then each tensor's bytes are written, in any order of tensors.
/// Until <see cref="Complete"/> has flushed and renamed it, the file has the extension <c>.tmp</c>; disposing before
/// that removes it. Wider elements come first and the data starts at a multiple of 8 bytes, so every element is aligned
/// in a mapped file. Not thread-safe.</remarks>
internal sealed class SafetensorsWriter : IDisposable
{
    /// <summary>The metadata that PyTorch software writes and expects.</summary>
    public static readonly IReadOnlyDictionary<string, string> PyTorchFormat = new Dictionary<string, string>
    {
        ["format"] = "pt",
    };

    private readonly string path;
    private readonly string aside;
    private readonly SafeFileHandle handle;
    private readonly Dictionary<string, PendingTensor> pending = new(StringComparer.Ordinal);
    private bool closed;

    /// <summary>Starts a file: writes its header and reserves space for its data.</summary>
    /// <param name="path">Path of the file; an existing file is replaced by <see cref="Complete"/>.</param>
    /// <param name="tensors">All tensors that the file will hold.</param>
    /// <param name="metadata">Text entries of the header; null: <see cref="PyTorchFormat"/>.</param>
    /// <exception cref="ArgumentException">A name is declared twice.</exception>
    /// <exception cref="IOException">There is too little space, or the file cannot be created.</exception>
    public SafetensorsWriter(
        string path,
        IEnumerable<TensorSpec> tensors,
        IReadOnlyDictionary<string, string>? metadata = null
    )
    {
        this.path = path;
        aside = path + ".tmp";
        var layout = new List<(TensorSpec Spec, long Begin)>();
        long end = 0;
        // stable: order of declaration among equal sizes
        foreach (var spec in tensors.OrderByDescending(tensor => tensor.Type.ByteSize()))
        {
            layout.Add((spec, end));
            end = checked(end + spec.ByteCount);
        }

        var header = SafetensorsHeader.Write(layout, metadata ?? PyTorchFormat);
        if (header.Length - 8 > SafetensorsHeader.LongestBytes)
        {
            throw new ArgumentException(
                $"{path}: the header has {header.Length - 8} bytes, more than the "
                    + $"{SafetensorsHeader.LongestBytes} that safetensors allows.",
                nameof(tensors)
            );
        }

        foreach (var (spec, begin) in layout)
        {
            if (!pending.TryAdd(spec.Name, new PendingTensor(spec, header.Length + begin)))
            {
                throw new ArgumentException($"{path}: '{spec.Name}' is declared twice.", nameof(tensors));
            }
        }

        handle = File.OpenHandle(
            aside,
            FileMode.Create,
            FileAccess.Write,
            FileShare.None,
            FileOptions.None,
            preallocationSize: header.Length + end
        );
        try
        {
            RandomAccess.Write(handle, header, 0);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Writes a tensor, or its next piece.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="bytes">Elements, little-endian and row-major.</param>
    /// <exception cref="ArgumentException">The name was not declared, or the tensor would get more bytes than its type
    /// and shape require.</exception>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(closed, this);
        if (!pending.TryGetValue(name, out var place))
        {
            throw new ArgumentException($"{path}: '{name}' was not declared.", nameof(name));
        }

        if (bytes.Length > place.Spec.ByteCount - place.Written)
        {
            throw new ArgumentException(
                $"{path}: '{name}' ({place.Spec}) has {place.Spec.ByteCount} bytes; {place.Written} are "
                    + $"already written, so {bytes.Length} more do not fit.",
                nameof(bytes)
            );
        }

        RandomAccess.Write(handle, bytes, place.Offset + place.Written);
        place.Written += bytes.Length;
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
            .Values.Where(place => place.Written < place.Spec.ByteCount)
            .Select(place => place.Spec.Name)
            .ToList();
        if (lacking.Count > 0)
        {
            throw new InvalidOperationException($"{path}: incomplete: {string.Join(", ", lacking)}.");
        }

        RandomAccess.FlushToDisk(handle);
        handle.Dispose();
        closed = true;
        AtomicFile.Publish(aside, path);
    }

    /// <summary>Closes the file; removes it unless it was completed.</summary>
    public void Dispose()
    {
        if (!closed)
        {
            closed = true;
            handle.Dispose();
            File.Delete(aside);
        }
    }

    /// <summary>Whether all bytes of all tensors have been written.</summary>
    internal bool IsFull => pending.Values.All(place => place.Written == place.Spec.ByteCount);

    private sealed class PendingTensor(TensorSpec spec, long offset)
    {
        public TensorSpec Spec { get; } = spec;

        public long Offset { get; } = offset;

        public long Written { get; set; }
    }
}
