namespace GlmTune.Cli.Commands;

public sealed class SampleCommandTests
{
    [Fact]
    public async Task The_sample_is_that_of_the_repository_and_a_second_copy_writes_nothing()
    {
        using var folder = new TemporaryFolder();
        var target = Path.Combine(folder.Path, "new");
        var run = await Run.Of("sample", target);
        Assert.Equal(0, run.Code);
        string[] expected =
        [
            .. ((string[])["configs", "data", "models"]).SelectMany(part =>
                Directory.EnumerateFiles(Run.InRepository(part), "*", SearchOption.AllDirectories)
            ),
        ];
        var root = Run.InRepository(".");
        Assert.Equal($"{target}: {expected.Length} files", run.Lines[0]);
        Assert.All(
            expected,
            file =>
                Assert.Equal(
                    File.ReadAllBytes(file),
                    File.ReadAllBytes(Path.Combine(target, Path.GetRelativePath(root, file)))
                )
        );
        File.Delete(Path.Combine(target, "configs", "lora.yaml"));
        Assert.Equal($"{target}: 1 files", (await Run.Of("sample", target)).Lines[0]);
        Assert.EndsWith("are there already", (await Run.Of("sample", target)).Lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Files_of_others_are_named_and_kept_and_nothing_is_written()
    {
        using var folder = new TemporaryFolder();
        var (mine, other) = (
            folder.Write("configs/lora.yaml", "mine"),
            Directory.CreateDirectory(Path.Combine(folder.Path, "data", "README.md")).FullName
        );
        var run = await Run.Of("sample", folder.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains(mine, run.Error, StringComparison.Ordinal);
        Assert.Contains(other, run.Error, StringComparison.Ordinal);
        Assert.Equal("mine", File.ReadAllText(mine));
        Assert.False(Directory.Exists(Path.Combine(folder.Path, "models")));
    }

    [Fact]
    public async Task A_file_in_place_of_the_folder_is_refused()
    {
        using var folder = new TemporaryFolder();
        var run = await Run.Of("sample", folder.Write("here", ""));
        Assert.Equal(2, run.Code);
        Assert.Contains("here: is a file; expected the name of a folder.", run.Error, StringComparison.Ordinal);
    }
}
