using System.Text.Json;

namespace GlmTune.Cli.Diagnosis;

public sealed class DoctorTests
{
    [Fact]
    public async Task Every_line_has_a_level_and_warnings_say_what_to_do()
    {
        var run = await Run.Of("doctor", "--json");
        using var json = JsonDocument.Parse(run.Output);
        var findings = json.RootElement.GetProperty("findings").EnumerateArray().ToList();
        var names = findings.Select(finding => finding.GetProperty("name").GetString()).ToList();
        Assert.Subset(
            names.ToHashSet(),
            new HashSet<string?>
            {
                "glmtune",
                "system",
                "CPU",
                "memory",
                "launcher",
                "cache folder",
                "model cache",
                "disk",
                "NVIDIA driver",
                "libtorch",
                "CPU product",
                "MPI",
            }
        );
        Assert.All(
            findings,
            finding =>
                Assert.Equal(
                    finding.GetProperty("level").GetString() == "ok",
                    finding.GetProperty("advice").ValueKind == JsonValueKind.Null
                )
        );
        var errors = findings.Count(finding => finding.GetProperty("level").GetString() == "error");
        Assert.Equal(errors == 0, json.RootElement.GetProperty("ok").GetBoolean());
        Assert.Equal(errors == 0 ? 0 : 1, run.Code);
    }

    [Fact]
    public async Task In_words_there_is_a_line_for_each_and_a_sum()
    {
        var run = await Run.Of("doctor");
        Assert.Contains(run.Lines, line => line.StartsWith("ok      libtorch: 2.", StringComparison.Ordinal));
        Assert.Matches(@"^\d+ checks: \d+ errors, \d+ warnings$", run.Lines[^1]);
    }

    [Theory]
    [InlineData(1L << 32, FindingLevel.Warning)]
    [InlineData(1L << 35, FindingLevel.Ok)]
    public void Little_memory_is_a_warning(long bytes, object expected) =>
        Assert.Equal(expected, SystemFindings.Memory(bytes).Level);

    [Fact]
    public void A_folder_that_cannot_be_written_is_a_warning_with_the_reason()
    {
        using var folder = new TemporaryFolder();
        var finding = SystemFindings.Folder("cache folder", folder.Write("file", ""), "Choose another.");
        Assert.Equal(FindingLevel.Warning, finding.Level);
        Assert.Contains("it is a file", finding.Found, StringComparison.Ordinal);
        Assert.Equal(FindingLevel.Warning, SystemFindings.Folder("cache folder", null, "Set HOME.").Level);
        Assert.Equal(FindingLevel.Ok, SystemFindings.Folder("cache folder", folder.At("new"), "").Level);
        Assert.False(Directory.Exists(folder.At("new")));
    }

    [Theory]
    [InlineData("unlimited            unlimited            bytes", FindingLevel.Ok)]
    [InlineData("8388608              8388608              bytes", FindingLevel.Warning)]
    [InlineData("8589934592           unlimited            bytes", FindingLevel.Ok)]
    [InlineData(null, FindingLevel.Ok)]
    public void A_low_limit_of_locked_memory_is_a_warning(string? limits, object expected) =>
        Assert.Equal(expected, LibraryFindings.PageLocked(limits).Level);
}
