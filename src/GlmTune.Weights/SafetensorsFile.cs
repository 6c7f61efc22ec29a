using System.IO.MemoryMappedFiles;
using GlmTune.Files;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Weights;

/// <summary>An open safetensors file: a checked header, and tensors whose bytes are read only on request.</summary>
/// <remarks>Thread-safe, except for <see cref="Dispose"/>; tensors must not be used after it. Everything in the header
/// is checked before it is used, and nothing is executed. Files are replaced by renaming, never changed in place, so an
/// open file keeps its bytes. Format: safetensors: 8 bytes of header length, a JSON header, then the data.</remarks>
internal sealed class SafetensorsFile : IDisposable
{
    private readonly SafeFileHandle handle;
    private readonly MemoryMappedFile map;
    private readonly MemoryMappedViewAccessor view;
    private readonly nint start;
    private readonly Dictionary<string, StoredTensor> byName;
    private bool disposed;

    private unsafe SafetensorsFile(string path, SafeFileHandle handle)
    {
        Path = path;
        this.handle = handle;
        var header = SafetensorsHeader.Read(path, handle);
        Metadata = header.Metadata;
        Tensors =
        [
            .. header.Tensors.Select(tensor => new StoredTensor(this, tensor.Spec, header.DataStart + tensor.Begin)),
        ];
        byName = Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);

        map = MemoryMappedFile.CreateFromFile(
            handle,
            null,
            0,
            MemoryMappedFileAccess.Read,
            HandleInheritability.None,
            leaveOpen: true
        );
        try
        {
            view = map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        }
        catch
        {
            map.Dispose();
            throw;
        }

        byte* pointer = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        start = (nint)(pointer + view.PointerOffset);
    }

    /// <summary>The path the file was opened with.</summary>
    public string Path { get; }

    /// <summary>The tensors, in the order of their data.</summary>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    /// <summary>The header's text entries, such as <c>format: pt</c>; empty if it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>The tensor with a given name.</summary>
    /// <exception cref="InvalidDataException">The file has no such tensor.</exception>
    public StoredTensor this[string name] =>
        Find(name) ?? throw new InvalidDataException($"{Path}: has no tensor '{name}'.");

    /// <summary>Opens a file and checks its whole header; no data is read.</summary>
    /// <exception cref="InvalidDataException">The file is not a valid safetensors file; the message lists all
    /// problems.</exception>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    public static SafetensorsFile Open(string path)
    {
        FileContent.Check(path);
        var handle = RegularFile.Open(path);
        try
        {
            return new SafetensorsFile(path, handle);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>The tensor with a given name; null if the file has none.</summary>
    public StoredTensor? Find(string name) => byName.GetValueOrDefault(name);

    /// <summary>Closes the file; its tensors can no longer be read.</summary>
    public void Dispose()
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        map.Dispose();
        handle.Dispose();
    }

    internal nint Address(long offset)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        return start + (nint)offset;
    }

    /// <remarks>Reads from the file, not from the memory map: if the file was truncated, this gives an exception
    /// instead of a bus error.</remarks>
    internal void Read(StoredTensor tensor, Span<byte> destination, long offset)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (!Storage.TryReadExactly(handle, destination, offset))
        {
            throw new InvalidDataException(
                $"{Path}: '{tensor.Name}' ends early; the file was truncated after it was opened."
            );
        }
    }
}
