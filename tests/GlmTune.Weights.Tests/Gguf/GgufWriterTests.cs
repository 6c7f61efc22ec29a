using GlmTune.Testing;
using GlmTune.Weights.Gguf;

namespace GlmTune.Weights.Tests.Gguf;

/// <summary>GGUF files hold what was given, where readers look for it.</summary>
public sealed class GgufWriterTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Metadata_and_tensors_are_read_back()
    {
        var metadata = new GgufMetadata();
        metadata.Add("text", "你好 😀");
        metadata.Add("number", 7);
        metadata.Add("fraction", 1.5625e-07f);
        metadata.Add("flag", true);
        metadata.Add("texts", ["a", "", "ä"]);
        metadata.Add("numbers", [1, -2]);
        GgufTensor[] tensors =
        [
            new("a", GgufType.F32, 3),
            new("b", GgufType.F16, 2, 5),
            new("c", GgufType.Q8_0, 1, 32),
        ];
        using (var writer = new GgufWriter(folder.At("x.gguf"), metadata, tensors))
        {
            // In another order, and in pieces.
            writer.Write("c", [.. Enumerable.Range(0, 34).Select(i => (byte)i)]);
            writer.Write("b", new byte[11]);
            writer.Write("a", [.. Enumerable.Range(50, 12).Select(i => (byte)i)]);
            writer.Write("b", [.. Enumerable.Range(0, 9).Select(i => (byte)i)]);
            writer.Complete();
        }

        var file = new GgufFile(folder.At("x.gguf"));
        Assert.Equal("你好 😀", file.Metadata["text"]);
        Assert.Equal(7u, file.Metadata["number"]);
        Assert.Equal(1.5625e-07f, file.Metadata["fraction"]);
        Assert.Equal(true, file.Metadata["flag"]);
        Assert.Equal(["a", "", "ä"], (object[])file.Metadata["texts"]);
        Assert.Equal([1, -2], (object[])file.Metadata["numbers"]);
        Assert.Equal([2, 5], file.Tensors["b"].Shape);
        Assert.Equal(Enumerable.Range(50, 12).Select(i => (byte)i), file.BytesOf("a"));
        Assert.Equal([.. new byte[11], .. Enumerable.Range(0, 9).Select(i => (byte)i)], file.BytesOf("b"));
        Assert.Equal(Enumerable.Range(0, 34).Select(i => (byte)i), file.BytesOf("c"));
        Assert.Equal(GgufWriter.Length(metadata, tensors), file.Length);
        Assert.Equal(0, file.Length % 32);
    }

    [Fact]
    public void A_file_that_is_not_completed_leaves_nothing()
    {
        using (var writer = new GgufWriter(folder.At("x.gguf"), new GgufMetadata(), [new("a", GgufType.F32, 3)]))
        {
            Assert.Throws<ArgumentException>(() => writer.Write("b", new byte[4]));
            Assert.Throws<ArgumentException>(() => writer.Write("a", new byte[13]));
            Assert.Throws<InvalidOperationException>(writer.Complete);
        }

        Assert.Empty(Directory.EnumerateFiles(folder.Path));
    }

    [Fact]
    public void Names_and_keys_are_unique_and_rows_are_whole_blocks()
    {
        GgufTensor[] twice = [new("a", GgufType.F32, 3), new("a", GgufType.F32, 3)];
        Assert.Throws<ArgumentException>(() => new GgufWriter(folder.At("x.gguf"), new GgufMetadata(), twice));
        Assert.Throws<ArgumentException>(() => new GgufTensor("a", GgufType.Q4_K, 2, 128));
        Assert.Throws<ArgumentException>(() => new GgufTensor(new string('a', 64), GgufType.F32, 3));
        var metadata = new GgufMetadata();
        metadata.Add("a", 1);
        Assert.Throws<ArgumentException>(() => metadata.Add("a", "1"));
    }

    [Theory]
    [InlineData("Q4_K_M", "blk.0.attn_q.weight", 4096, "Q4_K")]
    [InlineData("Q4_K_M", "blk.0.ffn_down.weight", 4096, "Q6_K")]
    [InlineData("Q4_K_M", "blk.0.ffn_down.weight", 13696, "Q8_0")] // GLM-4-9B's, half a block too long
    [InlineData("Q4_K_M", "blk.6.ffn_down.weight", 13696, "Q5_0")]
    [InlineData("Q4_K_M", "blk.7.attn_v.weight", 4096, "Q6_K")]
    [InlineData("Q4_K_M", "blk.8.attn_qkv.weight", 4096, "Q4_K")]
    [InlineData("Q4_K_M", "output.weight", 4096, "Q6_K")]
    [InlineData("Q4_K_M", "token_embd.weight", 4096, "Q4_K")]
    [InlineData("Q4_K_M", "blk.0.attn_q.weight", 176, "F16")]
    [InlineData("Q4_0", "output.weight", 4096, "Q6_K")]
    [InlineData("Q8_0", "output.weight", 4096, "Q8_0")]
    [InlineData("F16", "blk.0.attn_q.weight", 4096, "F16")]
    public void Each_tensor_has_the_type_of_its_file(string file, string name, long length, string type) =>
        Assert.Equal(
            Enum.Parse<GgufType>(type),
            new QuantizationMix(Enum.Parse<GgufFileType>(file), layers: 40, tied: false).TypeOf(name, [2, length]).Type
        );

    [Fact]
    public void Vectors_are_in_single_precision_and_a_tied_embedding_is_a_head()
    {
        var mix = new QuantizationMix(GgufFileType.Q4_K_M, layers: 28, tied: true);
        Assert.Equal((GgufType.F32, null), mix.TypeOf("output_norm.weight", [4096]));
        Assert.Equal((GgufType.Q6_K, null), mix.TypeOf("token_embd.weight", [2, 4096]));
    }
}
