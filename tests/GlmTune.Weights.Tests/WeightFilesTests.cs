using System.Text.Json;

namespace GlmTune.Weights.Tests;

public sealed class WeightFilesTests
{
    private static readonly TensorSpec[] Specs =
    [
        new("b", ElementType.F32, 4),
        new("a", ElementType.BF16, 4),
        new("empty", ElementType.F32, 0),
        new("c", ElementType.U8, 30),
        new("d", ElementType.U8, 1),
    ];

    [Fact]
    public void A_model_is_split_into_parts_of_limited_size()
    {
        using var folder = new TemporaryFolder();
        Write(folder.Path, maxPartBytes: 24);

        Assert.Equal(
            [
                "model-00001-of-00003.safetensors",
                "model-00002-of-00003.safetensors",
                "model-00003-of-00003.safetensors",
                "model.safetensors.index.json",
            ],
            Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal)
        );
        using var index = JsonDocument.Parse(File.ReadAllText(folder.At("model.safetensors.index.json")));
        Assert.Equal(55, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        Assert.Equal(
            "a 1, b 1, c 2, d 3, empty 1",
            string.Join(
                ", ",
                index
                    .RootElement.GetProperty("weight_map")
                    .EnumerateObject()
                    .Select(p => $"{p.Name} {p.Value.GetString()![10]}")
            )
        );
    }

    [Theory]
    [InlineData(1)]
    [InlineData(24)]
    [InlineData(31)]
    [InlineData(5_000_000_000)]
    public void What_is_written_in_parts_is_found_by_name(long maxPartBytes)
    {
        using var folder = new TemporaryFolder();
        Write(folder.Path, maxPartBytes);
        using var weights = WeightFiles.Open(folder.Path);

        Assert.Equal(Specs.Length, weights.Count);
        Assert.Equal(Specs.Select(spec => spec.Name).Order(), weights.Tensors.Select(tensor => tensor.Name).Order());
        Assert.All(Specs, spec => Assert.Equal(Content(spec), weights[spec.Name].Bytes.ToArray()));
        Assert.Null(weights.Find("e"));
        Assert.Contains("has no tensor 'e'", Assert.Throws<InvalidDataException>(() => weights["e"]).Message);
    }

    [Fact]
    public void One_part_needs_no_index()
    {
        using var folder = new TemporaryFolder();
        Write(folder.Path, ShardedWriter.DefaultPartBytes);

        Assert.Equal("model.safetensors", Path.GetFileName(Assert.Single(Directory.GetFiles(folder.Path))));
    }

    [Fact]
    public void Every_missing_part_and_name_is_reported_at_once()
    {
        using var folder = new TemporaryFolder();
        Write(folder.Path, maxPartBytes: 24);
        File.Delete(folder.At("model-00002-of-00003.safetensors"));
        File.Copy(
            folder.At("model-00003-of-00003.safetensors"),
            folder.At("model-00001-of-00003.safetensors"),
            overwrite: true
        );
        var message = Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Path)).Message;

        Assert.Contains("the part 'model-00002-of-00003.safetensors' is missing", message);
        Assert.Contains("'a' should be in 'model-00001-of-00003.safetensors' but is not", message);
        Assert.Contains("'b' should be in", message);
        Assert.DoesNotContain("'c' should be in", message);
    }

    [Fact]
    public void Damaged_parts_are_reported_with_the_others()
    {
        using var folder = new TemporaryFolder();
        Write(folder.Path, maxPartBytes: 24);
        File.WriteAllText(folder.At("model-00001-of-00003.safetensors"), "cut");
        File.WriteAllText(folder.At("model-00003-of-00003.safetensors"), "");
        var message = Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Path)).Message;

        Assert.Contains("model-00001-of-00003.safetensors: has 3 bytes", message);
        Assert.Contains("model-00003-of-00003.safetensors: is empty", message);
    }

    [Theory]
    [InlineData(
        "{\"weight_map\":{\"a\":\"../other/model.safetensors\"}}",
        "'a' maps to \"../other/model.safetensors\""
    )]
    [InlineData(
        "{\"weight_map\":{\"a\":\"/etc/x.safetensors\"}}",
        "expected the name of a .safetensors file in the same folder"
    )]
    [InlineData(
        "{\"weight_map\":{\"a\":\"pytorch_model.bin\"}}",
        "expected the name of a .safetensors file in the same folder"
    )]
    [InlineData("{\"weight_map\":{\"a\":3}}", "'a' maps to 3")]
    [InlineData("{\"weight_map\":{}}", "'weight_map' is empty")]
    [InlineData("{\"weight_map\":[]}", "has no object 'weight_map'")]
    [InlineData("[]", "found an empty array; expected an object")]
    [InlineData("{", "line 1, character 2: not valid JSON")]
    [InlineData("{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"y.safetensors\"}}", "not valid JSON")]
    public void An_unsound_index_is_refused(string json, string reason)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.At("model.safetensors.index.json"), json);

        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Path)).Message);
    }

    [Theory]
    [InlineData("pytorch_model.bin")]
    [InlineData("pytorch_model-00001-of-00002.bin")]
    [InlineData("adapter_model.bin")]
    public void A_pickle_is_refused_and_never_opened(string name)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.At(name), "");

        foreach (var path in new[] { folder.Path, folder.At(name) })
        {
            Assert.Contains(
                $"{name}: is a Python pickle",
                Assert.Throws<InvalidDataException>(() => WeightFiles.Open(path)).Message
            );
        }
    }

    [Fact]
    public void A_folder_without_weights_is_refused()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains(
            "contains no weights; expected model.safetensors",
            Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Path)).Message
        );
        Assert.Throws<DirectoryNotFoundException>(() => WeightFiles.Open(folder.At("nowhere")));
    }

    [Fact]
    public void A_checkpoint_whose_weights_are_in_the_ranks_files_says_how_to_make_a_model()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.At("optimizer-00000-of-00002.safetensors"), "");
        Assert.Contains(
            "glmtune checkpoint consolidate",
            Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Path)).Message,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("glm-tiny/model-hf", 36)]
    [InlineData("glm-tiny/adapter-prefix", 1)]
    [InlineData("glm-tiny/model-chatglm/model.safetensors", 24)]
    public void Model_folders_adapter_folders_and_single_files_open_alike(string path, int tensors)
    {
        using var weights = WeightFiles.Open(GoldenData.Path(path));
        Assert.Equal(tensors, weights.Count);
    }

    [Fact]
    public void An_interrupted_write_leaves_no_index()
    {
        using var folder = new TemporaryFolder();
        using (var writer = new ShardedWriter(folder.Path, Specs, 24))
        {
            writer.Write("c", Content(Specs[3]));
            writer.Write("b", Content(Specs[0]));
            Assert.Throws<ArgumentException>(() => writer.Write("c", [1]));
            Assert.Throws<InvalidOperationException>(writer.Complete);
        }

        Assert.Equal(
            "model-00002-of-00003.safetensors",
            Path.GetFileName(Assert.Single(Directory.GetFiles(folder.Path)))
        );
    }

    private static void Write(string folder, long maxPartBytes)
    {
        using var writer = new ShardedWriter(folder, Specs, maxPartBytes);
        foreach (var spec in Specs.OrderBy(spec => spec.Name, StringComparer.Ordinal))
        {
            writer.Write(spec.Name, Content(spec));
        }

        writer.Complete();
    }

    private static byte[] Content(TensorSpec spec) =>
        [.. Enumerable.Range(spec.Name[0], (int)spec.ByteCount).Select(i => (byte)i)];
}
