using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using GlmTune.Files;

namespace GlmTune.Kernels.Native;

/// <summary>What a shared library of Linux exports and needs, read from its file without loading it.</summary>
/// <remarks>Only 64-bit little-endian files are read. Every offset is checked, because files may be cut or damaged.
/// Sources: System V ABI, "Dynamic Section"; the layout of <c>DT_GNU_HASH</c> as in binutils and glibc.</remarks>
internal sealed unsafe class ElfLibrary : IDisposable
{
    private const int Load = 1;
    private const int Dynamic = 2;
    private const int NeededTag = 1;
    private const int StringsTag = 5;
    private const int SymbolsTag = 6;
    private const int RPathTag = 15;
    private const int RunPathTag = 29;
    private const int GnuHashTag = 0x6ffffef5;
    private const int SymbolSize = 24;
    private const int GlobalBinding = 1;

    private readonly MemoryMappedFile file;
    private readonly MemoryMappedViewAccessor view;
    private readonly byte* start;
    private readonly List<(long Address, long Offset, long Size)> segments = [];
    private readonly List<long> needed = [];
    private readonly List<long> runPaths = [];
    private readonly long length;
    private readonly long strings;
    private readonly long symbols;
    private readonly long hash;

    private ElfLibrary(string path)
    {
        // The length of what a link points to.
        using (var handle = RegularFile.Open(path))
        {
            length = RandomAccess.GetLength(handle);
        }

        if (length == 0)
        {
            throw new InvalidDataException($"{path}: is empty.");
        }

        file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        try
        {
            // The magic number, 64 bits, least byte first.
            if (Read<uint>(0) != 0x464c457f || Read<ushort>(4) != 0x0102)
            {
                throw new InvalidDataException($"{path}: is not a 64-bit ELF library.");
            }

            Machine = Read<ushort>(0x12);
            var dynamic = ReadSegments();
            for (var at = dynamic; at > 0 && Read<long>(at) is not 0 and var tag; at += 16)
            {
                var value = Read<long>(at + 8);
                _ = tag switch
                {
                    NeededTag => Add(needed, value),
                    RPathTag or RunPathTag => Add(runPaths, value),
                    StringsTag => strings = OffsetOf(value),
                    SymbolsTag => symbols = OffsetOf(value),
                    GnuHashTag => hash = OffsetOf(value),
                    _ => 0,
                };
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Processor of the code, in ELF's numbers: 62 is x86-64, 183 is 64-bit ARM.</summary>
    public ushort Machine { get; }

    /// <summary>Names of the libraries that it needs.</summary>
    public IEnumerable<string> Needed => needed.Select(offset => Text(strings + offset));

    /// <summary>Folders in which it looks for them first, as written; <c>$ORIGIN</c> is its own folder.</summary>
    public IEnumerable<string> RunPath =>
        runPaths.SelectMany(offset => Text(strings + offset).Split(':', StringSplitOptions.RemoveEmptyEntries));

    /// <summary>Whether its exports can be looked up.</summary>
    public bool HasTable => hash > 0 && symbols > 0 && strings > 0;

    /// <summary>Reads a library.</summary>
    /// <exception cref="InvalidDataException">The file is no 64-bit ELF library, or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ElfLibrary Open(string path) => new(path);

    /// <summary>Whether it exports a function or variable.</summary>
    public bool Exports(string name)
    {
        var bytes = Encoding.UTF8.GetBytes(name);
        var value = HashOf(bytes);
        var (buckets, first, words, shift) = (
            Read<uint>(hash),
            Read<uint>(hash + 4),
            Read<uint>(hash + 8),
            Read<int>(hash + 12)
        );
        if (buckets == 0 || words == 0)
        {
            return false;
        }

        var filter = Read<ulong>(hash + 16 + (8L * (value / 64 % words)));
        if ((filter >> (int)(value % 64) & filter >> (int)(value >> shift) % 64 & 1) == 0)
        {
            return false;
        }

        var chains = hash + 16 + (8L * words) + (4L * buckets);
        long index = Read<uint>(hash + 16 + (8L * words) + (4L * (value % buckets)));
        for (; index >= first; index++)
        {
            var entry = Read<uint>(chains + (4 * (index - first)));
            if ((entry | 1) == (value | 1) && Holds(strings + Read<uint>(symbols + (index * SymbolSize)), bytes))
            {
                return true;
            }

            if ((entry & 1) != 0)
            {
                return false;
            }
        }

        return false;
    }

    /// <summary>Names that it must find in other libraries; weak ones are left out.</summary>
    public IEnumerable<string> Undefined()
    {
        // The table's hashed part holds what is exported, and comes last.
        var first = Read<uint>(hash + 4);
        for (long index = 1; index < first; index++)
        {
            var symbol = symbols + (index * SymbolSize);
            if (Read<byte>(symbol + 4) >> 4 == GlobalBinding && Read<ushort>(symbol + 6) == 0)
            {
                yield return Text(strings + Read<uint>(symbol));
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        file.Dispose();
    }

    // The offset of the dynamic section; 0 if there is none.
    private long ReadSegments()
    {
        var (headers, size, count) = (Read<long>(0x20), Read<ushort>(0x36), Read<ushort>(0x38));
        var dynamic = 0L;
        for (var i = 0; i < count; i++)
        {
            var header = headers + (i * size);
            var (kind, offset) = (Read<int>(header), Read<long>(header + 8));
            if (kind == Load)
            {
                segments.Add((Read<long>(header + 0x10), offset, Read<long>(header + 0x20)));
            }
            else if (kind == Dynamic)
            {
                dynamic = offset;
            }
        }

        return dynamic;
    }

    private long OffsetOf(long address)
    {
        foreach (var (from, offset, size) in segments)
        {
            if (address >= from && address - from < size)
            {
                return address - from + offset;
            }
        }

        throw new InvalidDataException("address outside of the file");
    }

    private T Read<T>(long offset)
        where T : unmanaged =>
        offset >= 0 && offset <= length - sizeof(T)
            ? Unsafe.ReadUnaligned<T>(start + offset)
            : throw new InvalidDataException("the file is cut or damaged");

    private bool Holds(long offset, byte[] text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (Read<byte>(offset + i) != text[i])
            {
                return false;
            }
        }

        return Read<byte>(offset + text.Length) == 0;
    }

    private string Text(long offset)
    {
        var end = offset;
        while (Read<byte>(end) != 0)
        {
            end++;
        }

        return Marshal.PtrToStringUTF8((nint)(start + offset), (int)(end - offset));
    }

    private static long Add(List<long> list, long value)
    {
        list.Add(value);
        return value;
    }

    private static uint HashOf(byte[] name)
    {
        var value = 5381u;
        foreach (var one in name)
        {
            value = (value * 33) + one;
        }

        return value;
    }
}
