using System.Text;
using GlmTune.Weights.Gguf;

namespace GlmTune.Testing;

/// <summary>Reads a GGUF file, independently of how it was written.</summary>
internal sealed class GgufFile
{
    private const int ListKind = 9;
    private readonly byte[] bytes;
    private readonly long dataStart;

    public GgufFile(string path)
    {
        bytes = File.ReadAllBytes(path);
        using var file = new BinaryReader(new MemoryStream(bytes));
        Require(file.ReadUInt32() == 0x46554747, "no magic");
        Require(file.ReadUInt32() == 3, "not version 3");
        var (tensors, entries) = (file.ReadUInt64(), file.ReadUInt64());
        for (var i = 0UL; i < entries; i++)
        {
            Metadata.Add(Text(file), Value(file, file.ReadInt32()));
        }

        for (var i = 0UL; i < tensors; i++)
        {
            var name = Text(file);
            var shape = Enumerable.Range(0, file.ReadInt32()).Select(_ => file.ReadInt64()).ToArray();
            Array.Reverse(shape);
            Tensors.Add(name, (shape, (GgufType)file.ReadInt32(), file.ReadInt64()));
        }

        dataStart = (file.BaseStream.Position + 31) / 32 * 32;
    }

    public Dictionary<string, object> Metadata { get; } = [];

    public Dictionary<string, (long[] Shape, GgufType Type, long Offset)> Tensors { get; } = [];

    public long Length => bytes.Length;

    public byte[] BytesOf(string name)
    {
        var (shape, type, offset) = Tensors[name];
        Require(offset % 32 == 0, $"{name} is not aligned");
        var size = shape.Aggregate(1L, (product, length) => product * length) / type.BlockLength() * type.BlockBytes();
        return bytes.AsSpan((int)(dataStart + offset), (int)size).ToArray();
    }

    private static string Text(BinaryReader file) => Encoding.UTF8.GetString(file.ReadBytes((int)file.ReadUInt64()));

    private static object Value(BinaryReader file, int kind) =>
        kind switch
        {
            4 => file.ReadUInt32(),
            5 => file.ReadInt32(),
            6 => file.ReadSingle(),
            7 => file.ReadByte() == 1,
            8 => Text(file),
            ListKind => List(file, file.ReadInt32()),
            _ => throw new InvalidDataException($"Values of the kind {kind} are not written."),
        };

    private static object[] List(BinaryReader file, int kind) =>
        [.. Enumerable.Range(0, (int)file.ReadUInt64()).Select(_ => Value(file, kind))];

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidDataException(otherwise);
        }
    }
}
