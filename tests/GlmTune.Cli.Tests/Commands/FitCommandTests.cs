using GlmTune.Cli.Language;

namespace GlmTune.Cli.Tests.Commands;

public sealed class FitCommandTests
{
    [Fact]
    public async Task The_first_table_of_each_readme_is_the_one_that_the_command_prints()
    {
        Assert.Equal(FirstTable("README.md"), (await Run.Of("fit")).Lines);
        Assert.Equal(FirstTable("README_zh.md"), (await Run.Of(Catalogue.Chinese, "fit")).Lines);
    }

    private static IEnumerable<string> FirstTable(string page) =>
        File.ReadLines(Run.InRepository(page)).SkipWhile(line => !IsRow(line)).TakeWhile(IsRow);

    private static bool IsRow(string line) => line.StartsWith('|');
}
