namespace GlmTune.Files.Tests;

public sealed class DiskAdviceTests
{
    [Theory]
    [InlineData(28, "Free some space")]
    [InlineData(122, "quota")]
    [InlineData(5, "network file system failed")]
    [InlineData(30, "read-only")]
    public void Errors_of_the_system_come_with_what_to_do(int number, string advice)
    {
        var error = new IOException("Something : '/a/b'", number);
        Assert.Contains(advice, DiskAdvice.For(error), StringComparison.Ordinal);
        Assert.Equal(DiskAdvice.For(error), DiskAdvice.For(new InvalidDataException("step 3 is not saved", error)));
    }

    [Fact]
    public void A_refused_file_names_the_permissions_and_other_errors_nothing()
    {
        Assert.Contains("permissions", DiskAdvice.For(new UnauthorizedAccessException()), StringComparison.Ordinal);
        Assert.Null(DiskAdvice.For(new IOException("something of ours")));
        Assert.Null(DiskAdvice.For(new InvalidOperationException()));
    }

    [Fact]
    public void A_disk_that_is_full_is_recognized_as_dotnet_reports_it()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "Writes to a device of Linux that is always full.");
        var error = Assert.ThrowsAny<IOException>(() =>
        {
            using var file = new DiskFile("/dev/full", FileMode.Open, share: FileShare.ReadWrite);
            file.Write(new byte[100]);
        });
        Assert.Contains("Free some space", DiskAdvice.For(error), StringComparison.Ordinal);
    }
}
