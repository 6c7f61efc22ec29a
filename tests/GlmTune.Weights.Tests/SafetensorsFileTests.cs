using System.Text.Json;

namespace GlmTune.Weights.Tests;

public sealed class SafetensorsFileTests
{
    public static TheoryData<string> GoldenFiles =>
        [
            .. Directory
                .GetFiles(GoldenData.Path("glm-tiny"), "*.safetensors", SearchOption.AllDirectories)
                .Select(path => System.IO.Path.GetRelativePath(GoldenData.Path(""), path))
                .Order(StringComparer.Ordinal),
        ];

    [Fact]
    public void There_are_golden_files() => Assert.Equal(11, GoldenFiles.Count);

    [Theory, MemberData(nameof(GoldenFiles))]
    public void A_golden_file_gives_the_bytes_that_its_own_header_points_at(string name)
    {
        var path = GoldenData.Path(name);
        var raw = File.ReadAllBytes(path);
        var dataStart = 8 + (int)BitConverter.ToInt64(raw, 0);
        using var header = JsonDocument.Parse(raw.AsMemory(8, dataStart - 8));
        using var file = SafetensorsFile.Open(path);

        foreach (
            var property in header.RootElement.EnumerateObject().Where(property => property.Name != "__metadata__")
        )
        {
            var tensor = file[property.Name];
            var begin = dataStart + property.Value.GetProperty("data_offsets")[0].GetInt32();
            var end = dataStart + property.Value.GetProperty("data_offsets")[1].GetInt32();
            var copy = new byte[tensor.ByteCount];
            tensor.CopyTo(copy);

            Assert.Equal(property.Value.GetProperty("dtype").GetString(), tensor.Type.ToString());
            Assert.Equal(
                property.Value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64()),
                tensor.Shape
            );
            Assert.Equal(begin, tensor.Offset);
            Assert.True(raw.AsSpan(begin..end).SequenceEqual(copy));
            Assert.True(raw.AsSpan(begin..end).SequenceEqual(tensor.Bytes));
        }

        Assert.Equal(
            header.RootElement.EnumerateObject().Count(property => property.Name != "__metadata__"),
            file.Tensors.Count
        );
    }

    [Theory, MemberData(nameof(GoldenFiles))]
    public void A_golden_file_written_anew_is_the_same_to_the_last_byte(string name)
    {
        using var folder = new TemporaryFolder();
        using var original = SafetensorsFile.Open(GoldenData.Path(name));
        using (
            var writer = new SafetensorsWriter(
                folder.At("copy"),
                original.Tensors.Select(tensor => tensor.Spec),
                original.Metadata
            )
        )
        {
            foreach (var tensor in original.Tensors.Reverse())
            {
                writer.Write(tensor.Name, tensor.Bytes);
            }

            writer.Complete();
        }

        Assert.Equal(File.ReadAllBytes(original.Path), File.ReadAllBytes(folder.At("copy")));
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_piece_of_a_tensor_can_be_read()
    {
        using var file = SafetensorsFile.Open(GoldenData.Path("glm-tiny/model-hf/model.safetensors"));
        var tensor = file["model.norm.weight"];
        var piece = new byte[10];
        tensor.CopyTo(piece, from: 6);

        Assert.Equal(tensor.Bytes.Slice(6, 10).ToArray(), piece);
        Assert.Throws<ArgumentException>(() => tensor.CopyTo(new byte[10], from: tensor.ByteCount - 9));
        Assert.Throws<ArgumentException>(() => tensor.CopyTo(new byte[1], from: -1));
    }

    [Fact]
    public void A_missing_name_is_reported_with_the_file()
    {
        using var file = SafetensorsFile.Open(GoldenData.Path("glm-tiny/model-hf/model.safetensors"));

        Assert.Null(file.Find("lm_head.bias"));
        var error = Assert.Throws<InvalidDataException>(() => file["lm_head.bias"]);
        Assert.Contains("model.safetensors: has no tensor 'lm_head.bias'", error.Message);
    }

    [Fact]
    public void A_disposed_file_refuses_to_be_read()
    {
        var file = SafetensorsFile.Open(GoldenData.Path("glm-tiny/model-hf/model.safetensors"));
        var tensor = file.Tensors[0];
        file.Dispose();
        file.Dispose();

        Assert.Throws<ObjectDisposedException>(() => tensor.Address);
        Assert.Throws<ObjectDisposedException>(() => tensor.CopyTo(new byte[1]));
    }

    [Fact]
    public void A_file_cut_short_while_open_gives_an_error_when_read()
    {
        using var folder = new TemporaryFolder();
        File.Copy(GoldenData.Path("glm-tiny/model-hf/model.safetensors"), folder.At("m"));
        using var file = SafetensorsFile.Open(folder.At("m"));
        using (var cut = new FileStream(folder.At("m"), FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            cut.SetLength(file.Tensors[^1].Offset);
        }

        var last = file.Tensors[^1];
        var error = Assert.Throws<InvalidDataException>(() => last.CopyTo(new byte[last.ByteCount]));
        Assert.Contains(last.Name, error.Message);
    }

    [Fact]
    public unsafe void A_tensor_above_4_GB_is_written_and_read_at_its_far_end()
    {
        // Sparse: only the header and the last bytes take space. The header is made by hand, as a writer would need all
        // bytes.
        using var folder = new TemporaryFolder();
        const long bytes = (5L << 30) + 8;
        var json =
            $$"""{"big":{"dtype":"U8","shape":[{{bytes}}],"data_offsets":[0,{{bytes}}]},"next":{"dtype":"F32","shape":[],"data_offsets":[{{bytes}},{{bytes + 4}}] } }""";
        using (var stream = File.Create(folder.At("big")))
        {
            stream.Write(BitConverter.GetBytes((long)json.Length));
            stream.Write(System.Text.Encoding.ASCII.GetBytes(json));
            stream.SetLength(8 + json.Length + bytes + 4);
            stream.Seek(-8, SeekOrigin.End);
            stream.Write([1, 2, 3, 4, 0, 0, 192, 63]);
        }

        using var file = SafetensorsFile.Open(folder.At("big"));
        var big = file["big"];
        var end = new byte[4];
        big.CopyTo(end, from: bytes - 4);

        Assert.Equal([1, 2, 3, 4], end);
        Assert.Equal(4, ((byte*)big.Address)[bytes - 1]);
        Assert.Equal(1.5f, BitConverter.ToSingle(file["next"].Bytes));
        Assert.Throws<InvalidOperationException>(() => big.Bytes.Length);
    }
}
