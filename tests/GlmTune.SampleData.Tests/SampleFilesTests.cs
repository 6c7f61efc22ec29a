namespace GlmTune.SampleData;

public sealed class SampleFilesTests
{
    private const int LargestTotal = 3_000_000; // bytes: a clone should stay small

    private static readonly Lazy<IReadOnlyList<(string Path, byte[] Content)>> Written = new(SampleFiles.Write);

    [Fact]
    public void Committed_files_are_what_the_generator_writes()
    {
        foreach (var (path, content) in Written.Value)
        {
            Assert.True(
                File.ReadAllBytes(Committed.Path(path)).AsSpan().SequenceEqual(content),
                $"{path} is not what the generator writes; run: dotnet run --project tools/GlmTune.SampleData"
            );
        }
    }

    [Fact]
    public void Two_runs_write_the_same_bytes()
    {
        var again = SampleFiles.Write();

        Assert.Equal(Written.Value.Select(file => file.Path), again.Select(file => file.Path));
        Assert.All(again.Zip(Written.Value), pair => Assert.Equal(pair.Second.Content, pair.First.Content));
    }

    [Fact]
    public void No_other_conversations_are_committed()
    {
        var root = Committed.Path(".");
        var found = Directory
            .EnumerateFiles(Committed.Path("data"), "*.jsonl", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(root, path).Replace('\\', '/'));

        Assert.Equal(
            Written
                .Value.Select(file => file.Path)
                .Where(path => path.EndsWith(".jsonl", StringComparison.Ordinal))
                .Order(),
            found.Order()
        );
    }

    [Theory]
    [InlineData("ads/train", 1200)]
    [InlineData("ads/dev", 100)]
    [InlineData("ads/test", 100)]
    [InlineData("tools/train", 300)]
    [InlineData("tools/dev", 30)]
    [InlineData("pretrain/train", 4000)]
    [InlineData("pretrain/dev", 100)]
    public void Each_file_has_its_number_of_rows(string file, int rows) =>
        Assert.Equal(rows, Committed.Lines(file).Length);

    [Fact]
    public void All_data_together_is_small() =>
        Assert.InRange(
            Directory
                .EnumerateFiles(Committed.Path("data"), "*", SearchOption.AllDirectories)
                .Sum(path => new FileInfo(path).Length),
            1,
            LargestTotal
        );
}
