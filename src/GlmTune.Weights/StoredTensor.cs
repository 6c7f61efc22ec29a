namespace GlmTune.Weights;

/// <summary>A tensor in an open <see cref="SafetensorsFile"/>: its name, type, shape, location and bytes.</summary>
/// <remarks>Valid until its file is disposed. Thread-safe.</remarks>
internal sealed class StoredTensor
{
    internal StoredTensor(SafetensorsFile file, TensorSpec spec, long offset)
    {
        File = file;
        Spec = spec;
        Offset = offset;
    }

    /// <summary>The file that holds the tensor.</summary>
    public SafetensorsFile File { get; }

    /// <summary>Name, element type and shape.</summary>
    public TensorSpec Spec { get; }

    /// <summary>The tensor's name.</summary>
    public string Name => Spec.Name;

    /// <summary>Type of an element.</summary>
    public ElementType Type => Spec.Type;

    /// <summary>Sizes of the dimensions, row-major; empty for a single number.</summary>
    public long[] Shape => Spec.Shape;

    /// <summary>Size in bytes.</summary>
    public long ByteCount => Spec.ByteCount;

    /// <summary>Offset of the first byte from the start of the file.</summary>
    public long Offset { get; }

    /// <summary>Reads bytes of the tensor from offset <paramref name="from"/> until <paramref name="destination"/> is
    /// full.</summary>
    /// <param name="destination">Receives the bytes; may be shorter than the tensor, to read it in pieces.</param>
    /// <param name="from">Offset of the first byte to read from the start of the tensor.</param>
    /// <exception cref="ArgumentException">The tensor has fewer bytes than requested.</exception>
    /// <exception cref="InvalidDataException">The file has become shorter since it was opened.</exception>
    public void CopyTo(Span<byte> destination, long from = 0)
    {
        if (from < 0 || destination.Length > ByteCount - from)
        {
            throw new ArgumentException(
                $"'{Name}' has {ByteCount} bytes; {destination.Length} bytes from offset {from} were requested."
            );
        }

        File.Read(this, destination, Offset + from);
    }

    /// <summary>Reads the whole tensor into memory at an address. Needed above 2 GB, the limit of spans.</summary>
    /// <param name="destination">Start of the memory.</param>
    /// <param name="byteCount">Size of that memory; must be <see cref="ByteCount"/>.</param>
    /// <exception cref="ArgumentException">The size is not that of the tensor.</exception>
    /// <exception cref="InvalidDataException">The file has become shorter since it was opened.</exception>
    public unsafe void CopyTo(nint destination, long byteCount)
    {
        if (byteCount != ByteCount)
        {
            throw new ArgumentException($"'{Name}' has {ByteCount} bytes, not {byteCount}.", nameof(byteCount));
        }

        CopyRange(destination, byteCount, 0);
    }

    /// <summary>Reads a part of the tensor into memory at an address.</summary>
    /// <param name="destination">Start of the memory.</param>
    /// <param name="byteCount">Number of bytes to read.</param>
    /// <param name="from">Offset of the first byte to read from the start of the tensor.</param>
    /// <exception cref="ArgumentException">The tensor has fewer bytes than requested.</exception>
    /// <exception cref="InvalidDataException">The file has become shorter since it was opened.</exception>
    public unsafe void CopyRange(nint destination, long byteCount, long from)
    {
        const int piece = 1 << 30;
        for (long done = 0; done < byteCount; done += piece)
        {
            CopyTo(new Span<byte>((byte*)destination + done, (int)Math.Min(piece, byteCount - done)), from + done);
        }
    }

    /// <summary>The mapped bytes, without a copy; valid until the file is disposed.</summary>
    /// <exception cref="InvalidOperationException">The tensor has 2 GB or more; use <see cref="Address"/>
    /// instead.</exception>
    public unsafe ReadOnlySpan<byte> Bytes =>
        ByteCount <= int.MaxValue
            ? new ReadOnlySpan<byte>((byte*)Address, (int)ByteCount)
            : throw new InvalidOperationException(
                $"'{Name}' has {ByteCount} bytes, too many for a span; use its address instead."
            );

    /// <summary>Address of the first mapped byte, read-only; valid until the file is disposed.</summary>
    public nint Address => File.Address(Offset);

    /// <summary>Name, type and shape, for messages.</summary>
    public override string ToString() => $"'{Name}' {Spec}";
}
