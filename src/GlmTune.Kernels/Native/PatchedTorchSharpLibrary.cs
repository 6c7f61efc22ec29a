using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using GlmTune.Files;

namespace GlmTune.Kernels.Native;

/// <summary>A copy of TorchSharp's bridge library in which the dependency on a newer libstdc++ version is marked
/// weak.</summary>
/// <remarks>The library lists <see cref="Version"/> among its required versions, for one symbol that is referenced but
/// never called. In the copy, the entry of that version in <c>.gnu.version_r</c> has the weak flag, so the loader
/// continues without it. The original file is not modified. Source: ELF symbol versioning, "Version Dependency" (Linux
/// Standard Base, section 10.7).</remarks>
internal static class PatchedTorchSharpLibrary
{
    /// <summary>The version that is marked weak.</summary>
    public const string Version = "GLIBCXX_3.4.32";

    private const uint SectionVersionNeeds = 0x6ffffffe;
    private const ushort WeakFlag = 2;

    /// <summary>Path of the patched copy of <paramref name="bridge"/>, created on first use in the user's cache
    /// folder.</summary>
    public static string Of(string bridge)
    {
        var bytes = File.ReadAllBytes(bridge);
        var hash = Convert.ToHexStringLower(SHA256.HashData(bytes))[..16];
        return CacheFolder.Current.FileOf(
            Path.Combine("native", hash, Path.GetFileName(bridge)),
            () =>
            {
                Weaken(bytes);
                return bytes;
            }
        );
    }

    /// <summary>Sets the weak flag in the version-needs entry of <see cref="Version"/>, in place.</summary>
    internal static void Weaken(Span<byte> elf)
    {
        var headers = (int)BinaryPrimitives.ReadUInt64LittleEndian(elf[0x28..]);
        var headerSize = BinaryPrimitives.ReadUInt16LittleEndian(elf[0x3A..]);
        var headerCount = BinaryPrimitives.ReadUInt16LittleEndian(elf[0x3C..]);
        for (var i = 0; i < headerCount; i++)
        {
            var header = elf[(headers + (i * headerSize))..];
            if (BinaryPrimitives.ReadUInt32LittleEndian(header[4..]) != SectionVersionNeeds)
            {
                continue;
            }

            var needs = (int)BinaryPrimitives.ReadUInt64LittleEndian(header[0x18..]);
            var link = BinaryPrimitives.ReadInt32LittleEndian(header[0x28..]);
            var strings = (int)BinaryPrimitives.ReadUInt64LittleEndian(elf[(headers + (link * headerSize) + 0x18)..]);
            if (TryWeaken(elf, needs, strings))
            {
                return;
            }
        }

        throw new InvalidDataException(
            $"TorchSharp's bridge library does not list {Version}, so it cannot be adapted to this system's "
                + "libstdc++."
        );
    }

    private static bool TryWeaken(Span<byte> elf, int needs, int strings)
    {
        var wanted = Encoding.ASCII.GetBytes(Version + '\0');
        for (var file = needs; ;)
        {
            var entry = file + BinaryPrimitives.ReadInt32LittleEndian(elf[(file + 8)..]);
            for (; ; )
            {
                var name = strings + BinaryPrimitives.ReadInt32LittleEndian(elf[(entry + 8)..]);
                if (elf[name..].StartsWith(wanted))
                {
                    var flags = BinaryPrimitives.ReadUInt16LittleEndian(elf[(entry + 4)..]);
                    BinaryPrimitives.WriteUInt16LittleEndian(elf[(entry + 4)..], (ushort)(flags | WeakFlag));
                    return true;
                }

                var nextEntry = BinaryPrimitives.ReadInt32LittleEndian(elf[(entry + 12)..]);
                if (nextEntry == 0)
                {
                    break;
                }

                entry += nextEntry;
            }

            var nextFile = BinaryPrimitives.ReadInt32LittleEndian(elf[(file + 12)..]);
            if (nextFile == 0)
            {
                return false;
            }

            file += nextFile;
        }
    }
}
