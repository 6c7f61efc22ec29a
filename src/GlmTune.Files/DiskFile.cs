using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>A file opened for writing, without a buffer: each write reaches the operating system at once. Not
/// thread-safe.</summary>
internal sealed class DiskFile : Stream
{
    private readonly SafeFileHandle handle;
    private readonly FileAccess access;
    private long position;

    /// <summary>Wraps an open file.</summary>
    public DiskFile(SafeFileHandle handle, string path, FileAccess access) =>
        (this.handle, Name, this.access) = (handle, path, access);

    /// <summary>Opens a file; the parameters are those of <see cref="Disk.OpenFile"/>.</summary>
    public DiskFile(
        string path,
        FileMode mode,
        FileAccess access = FileAccess.Write,
        FileShare share = FileShare.None,
        long size = 0
    )
        : this(Disk.OpenFile(path, mode, access, share, size), path, access) { }

    /// <summary>The path it was opened with.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public override bool CanRead => access.HasFlag(FileAccess.Read);

    /// <inheritdoc/>
    public override bool CanWrite => access.HasFlag(FileAccess.Write);

    /// <inheritdoc/>
    public override bool CanSeek => true;

    /// <inheritdoc/>
    public override long Length => RandomAccess.GetLength(handle);

    /// <inheritdoc/>
    public override long Position
    {
        get => position;
        set => position = value;
    }

    /// <summary>Waits until the content is on disk.</summary>
    public void FlushToDisk() => Disk.Flush(handle, Name);

    /// <summary>Writes at an offset; the position stays.</summary>
    public void WriteAt(ReadOnlySpan<byte> bytes, long offset) => Disk.Write(handle, Name, bytes, offset);

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        Disk.Write(handle, Name, buffer, position);
        position += buffer.Length;
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override void WriteByte(byte value) => Write([value]);

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Write(buffer.Span);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        var read = Disk.Read(handle, buffer, position);
        position += read;
        return read;
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) =>
        position =
            offset
            + origin switch
            {
                SeekOrigin.Begin => 0,
                SeekOrigin.Current => position,
                _ => Length,
            };

    /// <inheritdoc/>
    public override void SetLength(long value) => Disk.SetLength(handle, Name, value);

    /// <summary>Does nothing: there is no buffer. <see cref="FlushToDisk"/> waits for the disk.</summary>
    public override void Flush() { }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            handle.Dispose();
        }

        base.Dispose(disposing);
    }
}
