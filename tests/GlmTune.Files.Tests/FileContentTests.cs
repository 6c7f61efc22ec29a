namespace GlmTune.Files.Tests;

public sealed class FileContentTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(
        "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 4984147224\n",
        "is a Git LFS pointer of 74 bytes, not the file itself, which has 4,984,147,224 bytes"
    )]
    [InlineData("<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page")]
    [InlineData("\ufeff\n <HTML lang=en>", "is a web page")]
    [InlineData("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page")]
    [InlineData("Entry not found", "is a server's error message, not the expected file: \"Entry not found\"")]
    [InlineData("{ \"error\" : \"Repository not found\" }", "is a server's error message")]
    [InlineData("GGUF\u0003\0\0\0", "is a GGUF file")]
    [InlineData("PK\u0003\u0004archive/data.pkl", "is a Python pickle")]
    public void What_a_failed_download_leaves_is_named(string content, string problem)
    {
        var path = folder.Write("model.safetensors", content);
        Assert.StartsWith(problem, FileContent.FindProblem(path), StringComparison.Ordinal);
        Assert.StartsWith(
            $"{path}: {problem}",
            Assert.Throws<InvalidDataException>(() => FileContent.Check(path)).Message,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("{\"model_type\": \"chatglm\"}")]
    [InlineData("{\"errors_to_come\": 1}")]
    [InlineData("IQ== 0\nIg== 1\n")]
    [InlineData("version 2 of something")]
    public void Other_content_is_left_to_its_reader(string content) =>
        Assert.Null(FileContent.FindProblem(folder.Write("file", content)));

    [Theory]
    [InlineData(0x80, 0x02)] // as the first bytes of a pickle
    [InlineData(0x1f, 0x8b)] // and of gzip
    public void The_length_of_a_safetensors_header_may_have_any_bytes(byte first, byte second)
    {
        byte[] head = [first, second, 1, 0, 0, 0, 0, 0, (byte)'{', (byte)'}'];
        Assert.Null(FileContent.FindProblem(head, 1000));
        head[8] = 0;
        Assert.NotNull(FileContent.FindProblem(head, 1000));
    }

    [Fact]
    public void What_has_no_length_is_not_opened()
    {
        Assert.StartsWith(
            "is empty, or is not a regular file",
            FileContent.FindProblem(folder.Write("empty", "")),
            StringComparison.Ordinal
        );
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no such devices.");
        // Reading it would never end.
        File.CreateSymbolicLink(folder.At("zeros"), "/dev/zero");
        Assert.StartsWith("is empty, or", FileContent.FindProblem(folder.At("zeros")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pytorch_model.bin", true)]
    [InlineData("optimizer.PT", true)]
    [InlineData("model.safetensors", false)]
    [InlineData("bin", false)]
    public void Pickles_are_known_by_their_names(string name, bool isPickle) =>
        Assert.Equal(isPickle, FileContent.IsPickleName(name));

    [Fact]
    public void A_fingerprint_is_of_names_and_contents_alone()
    {
        string Of(params string[] paths) => ContentFingerprint.Of(paths);
        var big = new byte[3 << 20];
        new Random(1).NextBytes(big);
        string Big(string name, Action<byte[]>? change = null)
        {
            var bytes = (byte[])big.Clone();
            change?.Invoke(bytes);
            File.WriteAllBytes(folder.Write(name, ""), bytes);
            return folder.At(name);
        }

        var small = folder.Write("a/config.json", "{}");
        var both = Of(small, Big("a/model"));
        Assert.Equal(32, both.Length);
        Assert.Equal(both, Of(Big("b/model"), folder.Write("b/config.json", "{}")));
        Assert.NotEqual(both, Of(Big("c/model"), folder.Write("c/config.json", "{ }")));
        Assert.NotEqual(both, Of(Big("d/other"), small));
        Assert.NotEqual(both, Of(Big("e/model", bytes => bytes[^1]++), small));
        Assert.NotEqual(both, Of(Big("f/model", bytes => bytes.AsSpan(1 << 20, 1 << 20).Clear()), small));
        Assert.NotEqual(both, Of(small));
    }
}
