using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Weights;

/// <summary>The header of a safetensors file: 8 bytes of length, then JSON with each tensor's type, shape and byte
/// range.</summary>
/// <remarks>A header is valid if the tensors fill the data from its first byte to its last without gap or overlap, and
/// each byte range has the length that type and shape require. All violations are collected before they are
/// reported.</remarks>
internal sealed class SafetensorsHeader
{
    public const string MetadataName = "__metadata__";

    /// <summary>The format's own limit; a longer header means damage, or an attempt to exhaust memory.</summary>
    public const int LongestBytes = 100_000_000;

    private static readonly Dictionary<string, ElementType> TypesByName = Enum.GetValues<ElementType>()
        .ToDictionary(type => type.ToString(), StringComparer.Ordinal);

    private readonly List<(TensorSpec Spec, long Begin)> tensors = [];
    private readonly Dictionary<string, string> metadata = new(StringComparer.Ordinal);
    private readonly ProblemList problems;
    private readonly long dataBytes;

    private SafetensorsHeader(string path, ReadOnlySpan<byte> json, long dataStart, long dataBytes)
    {
        problems = new ProblemList(path);
        DataStart = dataStart;
        this.dataBytes = dataBytes;
        try
        {
            ReadObject(json);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException)
        {
            // GetString and GetInt64 throw the latter two for text that is not UTF-8 and for values of another kind.
            problems.Add(
                "the header is not valid JSON of the expected form: "
                    + (JsonFile.Find(json)?.Text ?? exception.Message).TrimEnd('.')
            );
        }

        problems.Throw();
        CheckLayout();
        problems.Throw();
    }

    /// <summary>Offset of the data in the file, in bytes.</summary>
    public long DataStart { get; }

    /// <summary>Each tensor with the offset of its bytes in the data, in ascending order.</summary>
    public IReadOnlyList<(TensorSpec Spec, long Begin)> Tensors => tensors;

    public IReadOnlyDictionary<string, string> Metadata => metadata;

    public static SafetensorsHeader Read(string path, SafeFileHandle handle)
    {
        var fileBytes = RandomAccess.GetLength(handle);
        Span<byte> prefix = stackalloc byte[8];
        if (fileBytes < 8 || !Storage.TryReadExactly(handle, prefix, 0))
        {
            throw new InvalidDataException(
                $"{path}: has {fileBytes} bytes, too few for a safetensors file. Is the download complete?"
            );
        }

        var length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > LongestBytes)
        {
            Span<byte> start = stackalloc byte[(int)Math.Min(fileBytes, 80)];
            if (Storage.TryReadExactly(handle, start, 0) && FileContent.TextAtStart(start) is { } text)
            {
                throw new InvalidDataException(
                    $"{path}: is text (\"{text}\"); expected a safetensors file. Was a message saved in its place?"
                );
            }

            throw new InvalidDataException(
                $"{path}: declares a header of {length} bytes, above the {LongestBytes} that safetensors "
                    + "allows. Is it a safetensors file?"
            );
        }

        if ((long)length > fileBytes - 8)
        {
            throw new InvalidDataException(
                $"{path}: declares a header of {length} bytes, but only {fileBytes - 8} bytes follow. Is the "
                    + "download complete?"
            );
        }

        var json = new byte[length];
        if (!Storage.TryReadExactly(handle, json, 8))
        {
            throw new InvalidDataException($"{path}: the header ends early.");
        }

        var dataStart = 8 + (long)length;
        return new SafetensorsHeader(path, json, dataStart, fileBytes - dataStart);
    }

    /// <summary>The bytes before the data: length and JSON, padded with spaces so that the data starts at a multiple of
    /// 8.</summary>
    public static byte[] Write(
        IEnumerable<(TensorSpec Spec, long Begin)> tensors,
        IReadOnlyDictionary<string, string> metadata
    )
    {
        using var stream = new MemoryStream();
        stream.Write(stackalloc byte[8]);
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            if (metadata.Count > 0)
            {
                json.WriteStartObject(MetadataName);
                foreach (var (key, value) in metadata)
                {
                    json.WriteString(key, value);
                }

                json.WriteEndObject();
            }

            foreach (var (spec, begin) in tensors)
            {
                json.WriteStartObject(spec.Name);
                json.WriteString("dtype", spec.Type.ToString());
                WriteNumbers(json, "shape", spec.Shape);
                WriteNumbers(json, "data_offsets", begin, begin + spec.ByteCount);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        while (stream.Length % 8 != 0)
        {
            stream.WriteByte((byte)' ');
        }

        var bytes = stream.ToArray();
        BinaryPrimitives.WriteInt64LittleEndian(bytes, bytes.Length - 8);
        return bytes;
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, params long[] numbers)
    {
        json.WriteStartArray(name);
        Array.ForEach(numbers, json.WriteNumberValue);
        json.WriteEndArray();
    }

    private void ReadObject(ReadOnlySpan<byte> bytes)
    {
        var json = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = 16 });
        var names = new HashSet<string>(StringComparer.Ordinal);
        Expect(ref json, JsonTokenType.StartObject, "an object of tensors");
        while (NextProperty(ref json) is { } name)
        {
            if (!names.Add(name))
            {
                problems.Add($"'{name}' occurs twice");
            }

            if (name == MetadataName)
            {
                ReadMetadata(ref json);
            }
            else
            {
                ReadTensor(ref json, name);
            }
        }

        if (json.Read())
        {
            throw new JsonException("unexpected data after the closing brace");
        }
    }

    private void ReadMetadata(ref Utf8JsonReader json)
    {
        Expect(ref json, JsonTokenType.StartObject, $"an object under {MetadataName}");
        while (NextProperty(ref json) is { } key)
        {
            Expect(ref json, JsonTokenType.String, $"a string under {MetadataName}.{key}");
            metadata[key] = json.GetString()!;
        }
    }

    private void ReadTensor(ref Utf8JsonReader json, string name)
    {
        Expect(ref json, JsonTokenType.StartObject, $"an object for '{name}'");
        string? typeName = null;
        long[]? shape = null;
        long[]? offsets = null;
        var keys = new HashSet<string>(StringComparer.Ordinal);
        while (NextProperty(ref json) is { } key)
        {
            if (!keys.Add(key))
            {
                problems.Add($"'{name}' has {key} twice");
            }

            switch (key)
            {
                case "dtype":
                    Expect(ref json, JsonTokenType.String, $"a type name for '{name}'");
                    typeName = json.GetString();
                    break;
                case "shape":
                    shape = ReadNumbers(ref json, name, key);
                    break;
                case "data_offsets":
                    offsets = ReadNumbers(ref json, name, key);
                    break;
                default:
                    json.Read();
                    json.Skip();
                    break;
            }
        }

        if (typeName is null || shape is null || offsets is null)
        {
            problems.Add($"'{name}' lacks {string.Join(" and ", Lacking(typeName, shape, offsets))}");
        }
        else if (!TypesByName.TryGetValue(typeName, out var type))
        {
            problems.Add($"'{name}' has type '{typeName}'; expected one of {string.Join(", ", TypesByName.Keys)}");
        }
        else
        {
            Add(name, type, shape, offsets);
        }
    }

    private static IEnumerable<string> Lacking(string? type, long[]? shape, long[]? offsets) =>
        new[]
        {
            type is null ? "dtype" : "",
            shape is null ? "shape" : "",
            offsets is null ? "data_offsets" : "",
        }.Where(key => key.Length > 0);

    private void Add(string name, ElementType type, long[] shape, long[] offsets)
    {
        var described = $"'{name}' ({type} [{string.Join(", ", shape)}])";
        if (name.Length == 0)
        {
            problems.Add("a tensor has an empty name");
        }
        else if (TensorSpec.CountBytes(type, shape) is not { } bytes)
        {
            problems.Add($"{described} has an impossible size");
        }
        else if (offsets is not [>= 0, var end] || end < offsets[0] || end > dataBytes)
        {
            problems.Add(
                $"{described} has offsets [{string.Join(", ", offsets)}], which are not a valid range within "
                    + $"the {dataBytes} bytes of data. Is the download complete?"
            );
        }
        else if (end - offsets[0] != bytes)
        {
            problems.Add($"{described} needs {bytes} bytes but has {end - offsets[0]}, [{offsets[0]}, {end}]");
        }
        else
        {
            tensors.Add((new TensorSpec(name, type, shape), offsets[0]));
        }
    }

    private void CheckLayout()
    {
        tensors.Sort((a, b) => (a.Begin, a.Spec.ByteCount).CompareTo((b.Begin, b.Spec.ByteCount)));
        long end = 0;
        var previous = "the start of the data";
        foreach (var (spec, begin) in tensors)
        {
            if (begin != end)
            {
                problems.Add(
                    begin < end
                        ? $"'{spec.Name}' starts at {begin}, inside {previous}, which ends at {end}"
                        : $"bytes {end} to {begin}, between {previous} and '{spec.Name}', belong to no tensor"
                );
            }

            end = Math.Max(end, begin + spec.ByteCount);
            previous = $"'{spec.Name}'";
        }

        if (end != dataBytes)
        {
            problems.Add($"{dataBytes - end} bytes after {previous} belong to no tensor");
        }
    }

    private static long[] ReadNumbers(ref Utf8JsonReader json, string name, string key)
    {
        Expect(ref json, JsonTokenType.StartArray, $"a list under '{name}'.{key}");
        var numbers = new List<long>();
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            if (json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out var number))
            {
                throw new JsonException($"'{name}'.{key} holds something that is not a whole number");
            }

            numbers.Add(number);
        }

        return [.. numbers];
    }

    /// <summary>Moves to the next property of an object and returns its name, or null at the end of the
    /// object.</summary>
    private static string? NextProperty(ref Utf8JsonReader json) =>
        json.Read() && json.TokenType == JsonTokenType.PropertyName ? json.GetString() : null;

    private static void Expect(ref Utf8JsonReader json, JsonTokenType type, string what)
    {
        if (!json.Read() || json.TokenType != type)
        {
            throw new JsonException(
                $"expected {what}, found "
                    + $"{Encoding.UTF8.GetString(json.ValueSpan[..Math.Min(json.ValueSpan.Length, 40)])}"
            );
        }
    }
}
