using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>Opens and reads files that others may have made: regular files only, without blocking, up to a
/// size.</summary>
/// <remarks>Opening a pipe without a writer blocks forever, a device may never end, and a link may lead anywhere. All
/// three are decided on the opened handle, so a file that is swapped at the last moment gains nothing.</remarks>
internal static partial class RegularFile
{
    /// <summary>Default limit for the size of a file that is read whole, in bytes: 64 MiB.</summary>
    public const int MaxBytes = 64 << 20;

    private const string NotRegular = "is not a regular file; pipes, sockets and devices are not read.";
    private const string IsLink = "is a link, which is not followed here.";

    /// <summary>Opens a file for reading; links are followed.</summary>
    /// <exception cref="InvalidDataException">It is a folder, or not a regular file.</exception>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static SafeFileHandle Open(string path) => Open(path, followsLinks: true);

    /// <summary>Opens a file below a folder for reading. A link is refused, and so is a path that leads out of the
    /// folder through a linked folder.</summary>
    /// <param name="root">The folder, as <see cref="RealPath"/> gives it.</param>
    /// <param name="path">Path of the file, with the folder at its start.</param>
    /// <exception cref="InvalidDataException">As for <see cref="Open(string)"/>; or it is a link, or outside of the
    /// folder.</exception>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static SafeFileHandle OpenBelow(string root, string path)
    {
        var handle = Open(path, followsLinks: false);
        var inside = Path.EndsInDirectorySeparator(root) ? root : root + Path.DirectorySeparatorChar;
        if (PathOf(handle) is { } opened && !opened.StartsWith(inside, StringComparison.Ordinal))
        {
            handle.Dispose();
            throw new InvalidDataException($"{path}: leads out of {root}, so it is not read.");
        }

        return handle;
    }

    /// <summary>A folder's path with all links resolved; the full path if the system cannot say.</summary>
    public static string RealPath(string folder)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        if (Flags.OfSystem is not { } flags)
        {
            return full;
        }

        using var handle = new SafeFileHandle(OpenFile(full, flags.CloseOnExecute | flags.NonBlocking), true);
        return handle.IsInvalid ? full : PathOf(handle) ?? full;
    }

    /// <summary>Reads a whole file.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="maxBytes">The largest size accepted, in bytes.</param>
    /// <exception cref="InvalidDataException">As for <see cref="Open(string)"/>; or it is too large.</exception>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static byte[] ReadBytes(string path, int maxBytes = MaxBytes)
    {
        using var handle = Open(path);
        return ReadBytes(handle, path, maxBytes);
    }

    /// <summary>Reads an opened file from its beginning.</summary>
    /// <param name="handle">The file.</param>
    /// <param name="name">What errors call it, such as its path.</param>
    /// <param name="maxBytes">The largest size accepted, in bytes.</param>
    /// <exception cref="InvalidDataException">The file is too large.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[] ReadBytes(SafeFileHandle handle, string name, int maxBytes = MaxBytes)
    {
        var size = RandomAccess.GetLength(handle);
        if (size > maxBytes)
        {
            throw new InvalidDataException(
                $"{name}: has {Size(size)}; files of this kind have at most {Size(maxBytes)}. Is it the right file?"
            );
        }

        var bytes = new byte[size];
        var read = Read(handle, bytes, 0);
        return read == size ? bytes : bytes[..read];
    }

    /// <summary>Reads a whole file as UTF-8; a byte order mark is skipped.</summary>
    /// <inheritdoc cref="ReadBytes(string, int)"/>
    public static string ReadText(string path, int maxBytes = MaxBytes)
    {
        var bytes = ReadBytes(path, maxBytes).AsSpan();
        return Encoding.UTF8.GetString(bytes.StartsWith("\uFEFF"u8) ? bytes[3..] : bytes);
    }

    /// <summary>Opens a file as a stream; links are followed.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="bufferSize">Size of the stream's buffer in bytes; 0 or 1: none.</param>
    /// <inheritdoc cref="Open(string)"/>
    public static Stream OpenStream(string path, int bufferSize = 4096) =>
        !Disk.IsWatched ? new FileStream(Open(path), FileAccess.Read, bufferSize)
        : bufferSize <= 1 ? new DiskFile(Open(path), path, FileAccess.Read)
        : new BufferedStream(new DiskFile(Open(path), path, FileAccess.Read), bufferSize);

    /// <summary>Fills the span from an offset in the file, as far as the file goes.</summary>
    /// <returns>The number of bytes read.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static int Read(SafeFileHandle handle, Span<byte> destination, long offset)
    {
        var total = 0;
        while (total < destination.Length)
        {
            var read = Disk.Read(handle, destination[total..], offset + total);
            if (read == 0)
            {
                break;
            }

            total += read;
        }

        return total;
    }

    private static SafeFileHandle Open(string path, bool followsLinks)
    {
        if (Directory.Exists(path))
        {
            throw new InvalidDataException($"{path}: is a folder; expected a file.");
        }

        if (Flags.OfSystem is not { } flags)
        {
            return OpenElsewhere(path, followsLinks);
        }

        SafeFileHandle? opened = null;
        Disk.Run(DiskOperation.Open, path, () => opened = Open(path, followsLinks, flags));
        var handle = opened!;
        try
        {
            _ = RandomAccess.GetLength(handle); // pipes, sockets and terminals have none
            return handle;
        }
        catch (NotSupportedException)
        {
            handle.Dispose();
            throw new InvalidDataException($"{path}: {NotRegular}");
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static SafeFileHandle Open(string path, bool followsLinks, Flags flags)
    {
        var descriptor = OpenFile(
            path,
            flags.NonBlocking | flags.CloseOnExecute | flags.NoTerminal | (followsLinks ? 0 : flags.NoLinks)
        );
        return descriptor < 0
            ? throw Failure(path, Marshal.GetLastPInvokeError(), flags)
            : new SafeFileHandle(descriptor, ownsHandle: true);
    }

    // On systems without the flags: what is known about the path must do.
    private static SafeFileHandle OpenElsewhere(string path, bool followsLinks)
    {
        if (!followsLinks && new FileInfo(path).LinkTarget is not null)
        {
            throw new InvalidDataException($"{path}: {IsLink}");
        }

        return Disk.OpenFile(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
    }

    private static Exception Failure(string path, int error, Flags flags)
    {
        const int noEntry = 2,
            noDevice = 6,
            denied = 13,
            noFolder = 20;
        return error switch
        {
            noEntry or noFolder => new FileNotFoundException($"{path}: file not found.", path),
            noDevice => new InvalidDataException($"{path}: {NotRegular}"),
            denied => new UnauthorizedAccessException($"{path}: may not be read (permission denied)."),
            _ when error == flags.LinkError => new InvalidDataException($"{path}: {IsLink}"),
            _ => new IOException($"{path}: cannot be opened: {Marshal.GetPInvokeErrorMessage(error)}."),
        };
    }

    // Linux tells where an open file is; elsewhere null.
    internal static string? PathOf(SafeFileHandle handle) =>
        OperatingSystem.IsLinux() ? new FileInfo($"/proc/self/fd/{handle.DangerousGetHandle()}").LinkTarget : null;

    private static string Size(long bytes) =>
        bytes >= 1 << 20 ? $"{bytes >> 20} MiB"
        : bytes >= 1 << 10 ? $"{bytes >> 10} KiB"
        : $"{bytes} bytes";

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    // Values of <fcntl.h> and the error of a link that may not be followed (ELOOP); they differ by system.
    private sealed record Flags(int NonBlocking, int CloseOnExecute, int NoTerminal, int NoLinks, int LinkError)
    {
        public static Flags? OfSystem { get; } =
            OperatingSystem.IsMacOS() ? new Flags(0x4, 0x1000000, 0x20000, 0x100, 62)
            : !OperatingSystem.IsLinux() ? null
            : RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm
                ? new Flags(0x800, 0x80000, 0x100, 0x8000, 40)
            : new Flags(0x800, 0x80000, 0x100, 0x20000, 40);
    }
}
