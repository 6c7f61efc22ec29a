using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Reflection;
using System.Reflection.Emit;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;
using System.Text;

namespace GlmTune.Cli.Tests;

/// <summary>Which functions of a shared library catch C++ exceptions, by its own tables.</summary>
/// <remarks>Little-endian 64-bit ELF. Source: Linux Standard Base, Exception Frames; Itanium C++ ABI, Exception
/// Handling Tables.</remarks>
internal sealed class ExceptionTables(byte[] file)
{
    private const int FunctionType = 2;
    private const int None = 0xff;

    /// <summary>Exported functions without a handler: an exception in them ends the process, unless nothing in them
    /// throws.</summary>
    public HashSet<string> FunctionsWithoutHandler()
    {
        var sections = Sections();
        var (frames, handlers) = (Frames(sections[".eh_frame"]), new Dictionary<ulong, bool>());
        var names = sections[".dynstr"];
        var symbols = sections[".dynsym"];
        var found = new HashSet<string>();
        for (var at = symbols.Offset; at < symbols.Offset + symbols.Size; at += 24)
        {
            var address = Read64(at + 8);
            if ((file[at + 4] & 0xf) != FunctionType || address == 0)
            {
                continue;
            }

            var start = names.Offset + (int)Read32(at);
            var name = Encoding.ASCII.GetString(file, start, Array.IndexOf(file, (byte)0, start) - start);
            if (!(frames.TryGetValue(address, out var table) && table != 0 && HasHandler(OffsetOf(sections, table))))
            {
                found.Add(name);
            }
        }

        return found;
    }

    private Dictionary<string, (int Offset, int Size, ulong Address)> Sections()
    {
        var (table, size, count) = ((int)Read64(0x28), Read16(0x3a), Read16(0x3c));
        var names = (int)Read64(table + (size * Read16(0x3e)) + 0x18);
        var found = new Dictionary<string, (int, int, ulong)>();
        for (var i = 0; i < count; i++)
        {
            var at = table + (i * size);
            var name = names + (int)Read32(at);
            found[Encoding.ASCII.GetString(file, name, Array.IndexOf(file, (byte)0, name) - name)] = (
                (int)Read64(at + 0x18),
                (int)Read64(at + 0x20),
                Read64(at + 0x10)
            );
        }

        return found;
    }

    private static int OffsetOf(Dictionary<string, (int Offset, int Size, ulong Address)> sections, ulong address)
    {
        var table = sections[".gcc_except_table"];
        return (int)(address - table.Address) + table.Offset;
    }

    // Address of each function, and of its exception table (0: none).
    private Dictionary<ulong, ulong> Frames((int Offset, int Size, ulong Address) section)
    {
        var found = new Dictionary<ulong, ulong>();
        var hasTable = new Dictionary<int, bool>();
        for (var at = section.Offset; at < section.Offset + section.Size;)
        {
            var length = (int)Read32(at);
            if (length == 0)
            {
                break;
            }

            var (entry, pointer) = (at + 4, (int)Read32(at + 4));
            if (pointer == 0)
            {
                // A common entry: version, then the augmentation's letters.
                var letters = entry + 5;
                hasTable[at] = file.AsSpan(letters, Array.IndexOf(file, (byte)0, letters) - letters)
                    .Contains((byte)'L');
            }
            else
            {
                var function = Relative(entry + 4);
                var extra = entry + 12;
                _ = Unsigned(ref extra);
                found[function] = hasTable[entry - pointer] && Read32(extra) != 0 ? Relative(extra) : 0;
            }

            at += length + 4;
        }

        return found;

        ulong Relative(int at) => (ulong)((long)section.Address + (at - section.Offset) + (int)Read32(at));
    }

    private bool HasHandler(int at)
    {
        if (file[at++] != None)
        {
            throw new NotSupportedException("The exception table has a base of its own.");
        }

        if (file[at++] != None)
        {
            _ = Unsigned(ref at);
        }

        at++; // Encoding of the call sites: unsigned LEB128.
        var size = (int)Unsigned(ref at);
        var actions = at + size;
        while (at < actions)
        {
            _ = Unsigned(ref at);
            _ = Unsigned(ref at);
            _ = Unsigned(ref at);
            for (var action = (int)Unsigned(ref at); action != 0;)
            {
                var place = actions + action - 1;
                if (Signed(ref place) > 0)
                {
                    return true;
                }

                var before = place;
                var next = (int)Signed(ref place);
                action = next == 0 ? 0 : before + next - actions + 1;
            }
        }

        return false;
    }

    private ulong Unsigned(ref int at)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var next = file[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }

    private long Signed(ref int at)
    {
        long value = 0;
        for (var shift = 0; ;)
        {
            var next = file[at++];
            value |= (long)(next & 0x7f) << shift;
            shift += 7;
            if (next < 0x80)
            {
                return (next & 0x40) != 0 ? value | (-1L << shift) : value;
            }
        }
    }

    private ushort Read16(int at) => BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(at));

    private uint Read32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at));

    private ulong Read64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at));
}

/// <summary>Which native functions an assembly's methods reach, by their intermediate language.</summary>
internal sealed class NativeCalls : IDisposable
{
    private static readonly Dictionary<int, OperandType> Operands = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => code.Value & 0xffff, code => code.OperandType);

    private readonly PEReader image;
    private readonly MetadataReader reader;
    private readonly ILookup<(string Type, string Name), MethodDefinitionHandle> methods;

    public NativeCalls(string path)
    {
        image = new PEReader(File.OpenRead(path));
        reader = image.GetMetadataReader();
        methods = reader.MethodDefinitions.ToLookup(handle =>
        {
            var method = reader.GetMethodDefinition(handle);
            return (FullName(reader, method.GetDeclaringType()), reader.GetString(method.Name));
        });
    }

    public void Dispose() => image.Dispose();

    /// <summary>Methods of another assembly that this one's code names.</summary>
    public static IEnumerable<(string Type, string Name)> ReferencesTo(string assembly, string path)
    {
        using var image = new PEReader(File.OpenRead(path));
        var reader = image.GetMetadataReader();
        foreach (var handle in reader.MemberReferences)
        {
            var member = reader.GetMemberReference(handle);
            if (
                member.GetKind() == MemberReferenceKind.Method
                && member.Parent.Kind == HandleKind.TypeReference
                && Owner(reader, (TypeReferenceHandle)member.Parent) is var (type, owner)
                && owner == assembly
            )
            {
                yield return (type, reader.GetString(member.Name));
            }
        }
    }

    /// <summary>Native functions that the named methods reach, all overloads taken together.</summary>
    public HashSet<string> Reached(IEnumerable<(string Type, string Name)> from)
    {
        var (found, seen) = (new HashSet<string>(), new HashSet<MethodDefinitionHandle>());
        var open = new Queue<MethodDefinitionHandle>(from.Distinct().SelectMany(name => methods[name]));
        while (open.TryDequeue(out var handle))
        {
            if (!seen.Add(handle))
            {
                continue;
            }

            var method = reader.GetMethodDefinition(handle);
            if (method.Attributes.HasFlag(MethodAttributes.PinvokeImpl))
            {
                var import = method.GetImport();
                found.Add(import.Name.IsNil ? reader.GetString(method.Name) : reader.GetString(import.Name));
            }
            else if (method.RelativeVirtualAddress != 0)
            {
                foreach (var called in Called(method))
                {
                    open.Enqueue(called);
                }
            }
        }

        return found;
    }

    private IEnumerable<MethodDefinitionHandle> Called(MethodDefinition method)
    {
        var code = image.GetMethodBody(method.RelativeVirtualAddress).GetILContent();
        for (var at = 0; at < code.Length;)
        {
            var value = (int)code[at++];
            value = value == 0xfe ? (value << 8) | code[at++] : value;
            var operand = Operands[value];
            if (operand == OperandType.InlineMethod)
            {
                var token = MetadataTokens.EntityHandle(BitConverter.ToInt32(code.AsSpan().Slice(at, 4)));
                if (token.Kind == HandleKind.MethodSpecification)
                {
                    token = reader.GetMethodSpecification((MethodSpecificationHandle)token).Method;
                }

                if (token.Kind == HandleKind.MethodDefinition)
                {
                    yield return (MethodDefinitionHandle)token;
                }
            }

            at += Size(operand, code, at);
        }
    }

    private static int Size(OperandType operand, ImmutableArray<byte> code, int at) =>
        operand switch
        {
            OperandType.InlineNone => 0,
            OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
            OperandType.InlineVar => 2,
            OperandType.InlineI8 or OperandType.InlineR => 8,
            OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(code.AsSpan().Slice(at, 4))),
            _ => 4,
        };

    private static (string Type, string Assembly) Owner(MetadataReader reader, TypeReferenceHandle handle)
    {
        var type = reader.GetTypeReference(handle);
        var name = reader.GetString(type.Name);
        if (type.ResolutionScope.Kind == HandleKind.TypeReference)
        {
            var (outer, assembly) = Owner(reader, (TypeReferenceHandle)type.ResolutionScope);
            return ($"{outer}.{name}", assembly);
        }

        return (
            $"{reader.GetString(type.Namespace)}.{name}",
            type.ResolutionScope.Kind == HandleKind.AssemblyReference
                ? reader.GetString(reader.GetAssemblyReference((AssemblyReferenceHandle)type.ResolutionScope).Name)
                : ""
        );
    }

    private static string FullName(MetadataReader reader, TypeDefinitionHandle handle)
    {
        var type = reader.GetTypeDefinition(handle);
        var name = reader.GetString(type.Name);
        return type.GetDeclaringType().IsNil
            ? $"{reader.GetString(type.Namespace)}.{name}"
            : $"{FullName(reader, type.GetDeclaringType())}.{name}";
    }
}
