namespace GlmTune.Weights;

/// <summary>A tensor inside an open <see cref="SafetensorsFile"/>: what it is, where it lies, and its bytes.</summary>
/// <remarks>Usable until its file is disposed; safe to read from several threads at once.</remarks>
public sealed class StoredTensor
{
    internal StoredTensor(SafetensorsFile file, TensorSpec spec, long offset)
    {
        File = file;
        Spec = spec;
        Offset = offset;
    }

    /// <summary>The file the tensor lies in.</summary>
    public SafetensorsFile File { get; }

    /// <summary>Name, element type and shape.</summary>
    public TensorSpec Spec { get; }

    /// <summary>The tensor's name.</summary>
    public string Name => Spec.Name;

    /// <summary>What one element is.</summary>
    public ElementType Type => Spec.Type;

    /// <summary>Sizes, row-major; empty for a single number.</summary>
    public long[] Shape => Spec.Shape;

    /// <summary>Bytes the tensor takes.</summary>
    public long ByteCount => Spec.ByteCount;

    /// <summary>Where the first byte lies, counted from the start of the file.</summary>
    public long Offset { get; }

    /// <summary>Reads bytes of the tensor, from <paramref name="from"/> on, until <paramref name="destination"/> is
    /// full.</summary>
    /// <param name="destination">Takes the bytes; may be shorter than the tensor, for reading it in pieces.</param>
    /// <param name="from">The first byte to read, counted from the tensor's start.</param>
    /// <exception cref="ArgumentException">The tensor has fewer bytes than asked for.</exception>
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

    /// <summary>Reads the whole tensor into memory at an address; for tensors above 2 GB, which no span can
    /// hold.</summary>
    /// <param name="destination">Start of the memory.</param>
    /// <param name="byteCount">Size of that memory; must be <see cref="ByteCount"/>.</param>
    /// <exception cref="ArgumentException">The size differs from the tensor's.</exception>
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
    /// <param name="byteCount">How many bytes to read.</param>
    /// <param name="from">The first byte to read, counted from the tensor's start.</param>
    /// <exception cref="ArgumentException">The tensor has fewer bytes than asked for.</exception>
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
    /// <exception cref="InvalidOperationException">The tensor has 2 GB or more; use <see cref="Address"/>.</exception>
    public unsafe ReadOnlySpan<byte> Bytes =>
        ByteCount <= int.MaxValue
            ? new ReadOnlySpan<byte>((byte*)Address, (int)ByteCount)
            : throw new InvalidOperationException(
                $"'{Name}' has {ByteCount} bytes, too many for a span; read it through its address."
            );

    /// <summary>Address of the first mapped byte, read-only; valid until the file is disposed.</summary>
    public nint Address => File.Address(Offset);

    /// <summary>Name, type and shape for messages.</summary>
    public override string ToString() => $"'{Name}' {Spec}";
}
