using System.Text;
using CsCheck;

namespace GlmTune.Weights.Tests;

/// <summary>Headers that are damaged, or made to do harm: refused, with the file and what is wrong named.</summary>
public sealed class SafetensorsHeaderTests
{
    private const string A = "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";

    [Theory]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,12]}}",
        12,
        "'a' (F32 [2]) needs 8 bytes but has 12"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",
        8,
        "'a' (F32 [2]) has offsets [8, 0], which are not a valid range"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}",
        8,
        "'a' (F32 [2]) has offsets [-8, 0]"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,16]}}",
        16,
        "'a' (F32 [2]) has offsets [0, 8, 16]"
    )]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "'a' (F32 [2]) has offsets [0]")]
    [InlineData("{" + A + "}", 7, "within the 7 bytes of data. Is the download complete?")]
    [InlineData("{" + A + "}", 9, "1 bytes after 'a' belong to no tensor")]
    [InlineData("{}", 3, "3 bytes after the start of the data belong to no tensor")]
    [InlineData(
        "{" + A + ",\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        8,
        "'b' starts at 0, inside 'a', which ends at 8"
    )]
    [InlineData(
        "{" + A + ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[6,10]}}",
        10,
        "'b' starts at 6, inside 'a', which ends at 8"
    )]
    [InlineData(
        "{" + A + ",\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9,10]}}",
        10,
        "bytes 8 to 9, between 'a' and 'b', belong to no tensor"
    )]
    [InlineData("{" + A + "," + A + "}", 8, "'a' occurs twice")]
    [InlineData(
        "{" + A + ",\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}}",
        9,
        "'a' occurs twice"
    )]
    [InlineData("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "'__metadata__' occurs twice")]
    [InlineData("{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "a tensor has an empty name")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        8,
        "'a' has dtype twice"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        8,
        "'a' has type 'F31'; expected one of BOOL, U8"
    )]
    [InlineData("{\"a\":{\"dtype\":\"3\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'a' has type '3'")]
    [InlineData("{\"a\":{\"dtype\":\"532\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'a' has type '532'")]
    [InlineData("{\"a\":{\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'a' has type 'f32'")]
    [InlineData("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'a' lacks dtype")]
    [InlineData("{\"a\":{\"dtype\":\"F32\"}}", 8, "'a' lacks shape and data_offsets")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1,-2],\"data_offsets\":[0,8]}}",
        8,
        "'a' (F32 [-1, -2]) has an impossible size"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
        0,
        "has an impossible size"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F64\",\"shape\":[1152921504606846976],\"data_offsets\":[0,0]}}",
        0,
        "has an impossible size"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}",
        8,
        "'a'.shape holds something that is not a whole number"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}",
        8,
        "'a'.shape holds something that is not a whole number"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]}}",
        8,
        "'a'.shape holds something that is not a whole number"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}",
        8,
        "expected a list under 'a'.shape, found 2"
    )]
    [InlineData(
        "{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}",
        8,
        "expected a type name for 'a', found 7"
    )]
    [InlineData("{\"a\":[1]}", 8, "expected an object for 'a'")]
    [InlineData("{\"__metadata__\":{\"format\":1}}", 0, "expected a string under __metadata__.format")]
    [InlineData("[]", 0, "expected an object of tensors")]
    [InlineData("{} {}", 0, "header is not valid JSON of the expected form")]
    [InlineData("{\"a\":", 0, "header is not valid JSON of the expected form")]
    [InlineData("", 0, "header is not valid JSON of the expected form")]
    [InlineData("{\"\\ud800\":{}}", 0, "header is not valid JSON of the expected form")]
    public void An_unsound_header_is_refused_with_the_reason(string json, int dataBytes, string reason)
    {
        var error = Refused([
            .. BitConverter.GetBytes((long)Encoding.UTF8.GetByteCount(json)),
            .. Encoding.UTF8.GetBytes(json),
            .. new byte[dataBytes],
        ]);
        Assert.Contains(reason, error.Message);
        Assert.Contains("weights.safetensors: ", error.Message);
    }

    [Theory]
    [InlineData(new byte[0], "is empty")]
    [InlineData(new byte[] { 1, 2, 3 }, "has 3 bytes, too few")]
    [InlineData(
        new byte[] { 3, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}' },
        "declares a header of 3 bytes, but only 2"
    )]
    [InlineData(
        new byte[] { 255, 255, 255, 255, 255, 255, 255, 255, (byte)'{' },
        "declares a header of 18446744073709551615 bytes"
    )]
    [InlineData(new byte[] { 0, 225, 245, 6, 0, 0, 0, 0 }, "but only 0 bytes follow")]
    [InlineData(new byte[] { 1, 225, 245, 5, 0, 0, 0, 0 }, "declares a header of 100000001 bytes, above")]
    [InlineData(
        new byte[] { 3, 0, 0, 0, 0, 0, 0, 0, (byte)'"', 255, (byte)'"' },
        "is not valid JSON of the expected form"
    )]
    public void A_file_without_room_for_its_header_is_refused(byte[] bytes, string reason)
    {
        if (reason.StartsWith("but only", StringComparison.Ordinal))
        {
            bytes[3] = 5; // 100,000,000 exactly: allowed by the format, but not there
        }

        Assert.Contains(reason, Refused(bytes).Message);
    }

    [Fact]
    public void All_problems_of_a_header_are_reported_at_once()
    {
        var json =
            "{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]},\"c\":{}}";
        var message = Refused([
            .. BitConverter.GetBytes((long)json.Length),
            .. Encoding.ASCII.GetBytes(json),
            .. new byte[9],
        ]).Message;

        Assert.Contains("3 problems", message);
        Assert.Contains("'a' has type", message);
        Assert.Contains("'b' (F32 [2]) needs 8", message);
        Assert.Contains("'c' lacks dtype and shape and data_offsets", message);
    }

    [Theory]
    [InlineData("{}", 0, 0)]
    [InlineData("{}     ", 0, 0)]
    [InlineData("{" + A + "}", 8, 1)]
    [InlineData("{\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8],\"later\":{\"x\":[1]}}}", 8, 1)]
    [InlineData(
        "{\"e\":{\"dtype\":\"F32\",\"shape\":[0,9223372036854775807,9],\"data_offsets\":[8,8]}," + A + "}",
        8,
        2
    )]
    [InlineData("{\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}," + A + "}", 8, 2)]
    public void A_sound_header_is_accepted(string json, int dataBytes, int tensors)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(
            folder.At("f"),
            [.. BitConverter.GetBytes((long)json.Length), .. Encoding.ASCII.GetBytes(json), .. new byte[dataBytes]]
        );
        using var file = SafetensorsFile.Open(folder.At("f"));

        Assert.Equal(tensors, file.Tensors.Count);
    }

    [Fact]
    public void A_damaged_file_is_refused_or_read_without_leaving_its_bounds()
    {
        var sound = File.ReadAllBytes(GoldenData.Path("glm-tiny/adapter-prefix/adapter_model.safetensors"));
        using var folder = new TemporaryFolder();
        var path = folder.At("damaged");
        var damage = Gen.Select(
            Gen.Int[0, 160],
            Gen.Byte,
            Gen.Int[0, 160],
            Gen.Char["\"{}[],9-\\\0\u00ff"],
            Gen.Int[0, 40]
        );
        damage.Sample(
            change =>
            {
                var (at, value, where, text, cut) = change;
                var bytes = sound[..(sound.Length - cut)];
                bytes[at] = value;
                bytes[where] = (byte)text;
                File.WriteAllBytes(path, bytes);
                try
                {
                    using var file = SafetensorsFile.Open(path);
                    return file.Tensors.All(tensor =>
                        tensor.Offset >= 8
                        && tensor.Offset + tensor.ByteCount <= bytes.Length
                        && tensor.Bytes.Length == tensor.ByteCount
                    );
                }
                catch (InvalidDataException error)
                {
                    return error.Message.Contains(path, StringComparison.Ordinal);
                }
            },
            iter: 2000,
            threads: 1,
            seed: "0N0XIzNsQ0O2"
        );
    }

    [Fact]
    public void Every_layout_written_is_read_back_as_it_was()
    {
        var spec = Gen.Select(Gen.Enum<ElementType>(), Gen.Long[0, 5].Array[0, 3]);
        Gen.Select(spec.Array[0, 12], Gen.Byte)
            .Sample(
                sample =>
                {
                    var (kinds, seed) = sample;
                    using var folder = new TemporaryFolder();
                    var specs = kinds
                        .Select((kind, i) => new TensorSpec($"层.{i}.\"w\"", kind.Item1, kind.Item2))
                        .ToArray();
                    var contents = specs
                        .Select(
                            (s, i) =>
                                Enumerable
                                    .Range(0, (int)s.ByteCount)
                                    .Select(j => (byte)((seed * 31) + (i * 7) + j))
                                    .ToArray()
                        )
                        .ToArray();
                    using (var writer = new SafetensorsWriter(folder.At("f"), specs))
                    {
                        for (var i = specs.Length - 1; i >= 0; i--)
                        {
                            var half = contents[i].Length / 2;
                            writer.Write(specs[i].Name, contents[i].AsSpan(0, half));
                            writer.Write(specs[i].Name, contents[i].AsSpan(half));
                        }

                        writer.Complete();
                    }

                    using var file = SafetensorsFile.Open(folder.At("f"));
                    Assert.Equal(specs.Length, file.Tensors.Count);
                    Assert.Equal("pt", file.Metadata["format"]);
                    for (var i = 0; i < specs.Length; i++)
                    {
                        var tensor = file[specs[i].Name];
                        Assert.Equal(specs[i].ToString(), tensor.Spec.ToString());
                        Assert.Equal(contents[i], tensor.Bytes.ToArray());
                        Assert.Equal(0, tensor.Offset % tensor.Type.ByteSize());
                    }
                },
                iter: 100,
                threads: 1,
                seed: "0N0XIzNsQ0O3"
            );
    }

    private static InvalidDataException Refused(byte[] bytes)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.At("weights.safetensors"), bytes);
        return Assert.Throws<InvalidDataException>(() => SafetensorsFile.Open(folder.At("weights.safetensors")));
    }
}
