namespace GlmTune.Files.Tests;

public sealed class WriteProbeTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("")]
    [InlineData("new")]
    [InlineData("new/deep/er")]
    public void A_place_that_can_be_written_has_no_problem_and_is_left_as_it_was(string name)
    {
        Assert.Null(WriteProbe.FindProblem(folder.At(name)));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Theory]
    [InlineData("file", "file: cannot be written: it is a file")]
    [InlineData("file/out", "file is a file; expected a folder")]
    [InlineData("file/deep/out", "file is a file; expected a folder")]
    public void A_file_in_the_way_is_named(string name, string problem)
    {
        folder.Write("file", "mine");
        Assert.Contains(problem, WriteProbe.FindProblem(folder.At(name)), StringComparison.Ordinal);
        Assert.Equal("mine", File.ReadAllText(folder.At("file")));
    }

    [Fact]
    public void A_file_system_that_takes_no_folders_is_named()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/proc is Linux's");
        Assert.StartsWith(
            "/proc/glmtune/x: cannot be written: ",
            WriteProbe.FindProblem("/proc/glmtune/x"),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_disk_that_is_too_small_is_named_with_both_sizes()
    {
        Assert.Contains(
            "about 9223372036.9 GB will be written, but only ",
            WriteProbe.FindProblem(folder.At("run"), long.MaxValue),
            StringComparison.Ordinal
        );
        Assert.Null(WriteProbe.FindProblem(folder.At("run"), 1000));
    }

    [Fact]
    public void A_file_needs_a_folder_and_a_name_that_is_not_one()
    {
        Assert.Null(WriteProbe.FindProblemOfFile(folder.At("new", "o.jsonl")));
        Assert.Contains("it is a folder", WriteProbe.FindProblemOfFile(folder.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_continued_must_be_open_to_writing()
    {
        var file = folder.Write("o.jsonl", "x");
        Assert.Null(WriteProbe.FindProblemOfFile(file, inPlace: true));
        using var held = new FileStream(file, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        Assert.Contains(
            "o.jsonl: cannot be written: ",
            WriteProbe.FindProblemOfFile(file, inPlace: true),
            StringComparison.Ordinal
        );
        Assert.Null(WriteProbe.FindProblemOfFile(file)); // It would be replaced.
    }

    [Fact]
    public void A_new_folder_must_not_be_there()
    {
        Assert.Null(WriteProbe.FindProblemOfNewFolder(folder.At("new")));
        Assert.False(Directory.Exists(folder.At("new")));
        Assert.Contains("already exists", WriteProbe.FindProblemOfNewFolder(folder.Path), StringComparison.Ordinal);
        Assert.Contains(
            "already exists",
            WriteProbe.FindProblemOfNewFolder(folder.Write("file", "x")),
            StringComparison.Ordinal
        );
        Assert.Contains(
            "GB will be written, but only ",
            WriteProbe.FindProblemOfNewFolder(folder.At("new"), long.MaxValue),
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    public void An_empty_name_is_no_place(string name)
    {
        Assert.Contains("is empty", WriteProbe.FindProblem(name), StringComparison.Ordinal);
        Assert.Contains("is empty", WriteProbe.FindProblemOfFile(name), StringComparison.Ordinal);
    }
}
