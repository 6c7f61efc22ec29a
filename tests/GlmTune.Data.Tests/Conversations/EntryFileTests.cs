using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class EntryFileTests
{
    [Theory]
    [InlineData("{R1}\n{R2}\n")]
    [InlineData("[{R1},{R2}]")]
    [InlineData("\uFEFF[\n  {R1},\n\n  {R2}\n]\n")]
    [InlineData("{\n\"messages\": {M1}\n}\n{\n\n\"messages\":\n{M2}}\n")]
    [InlineData("{R1}\n{\"messages\":\n{M2}\n}\n")]
    public void Rows_are_read_however_the_file_holds_them(string content)
    {
        var rows = Rows(content);
        Assert.All(rows, row => Assert.Empty(row.Problems));
        Assert.Equal(["]1", "[2"], rows.Select(row => row.Conversation!.Messages[0].Content));
    }

    [Fact]
    public void Entries_of_an_array_are_numbered()
    {
        var rows = Rows("[{R1}, {\"messages\": [\"x\"]},\n{\"messages\": 1}]");
        Assert.Equal([1, 2, 3], rows.Select(row => row.Line));
        Assert.Equal(
            ["entry 2 (line 1), messages[0]", "entry 3 (line 2)"],
            rows.SelectMany(row => row.Problems)
                .Select(problem => problem.ToString().Split(": ")[0]["a.json, ".Length..])
        );
    }

    [Theory]
    [InlineData("[{R1}, {\"messages\": [1,]}, {R2}]", "entry 2 (line 1)", "a comma before ]")]
    [InlineData("[{R1},\n {'messages': 1},\n {R2}]", "entry 2 (line 2)", "a single quote")]
    [InlineData("[{R1}\n {R2}]", "entry 2 (line 2)", "no comma between")]
    [InlineData("[{R1}, {R2},]", "entry 2 (line 1)", "a comma before ]")]
    [InlineData("[{R1},, {R2}]", "entry 1 (line 1)", "found a comma; expected an entry")]
    [InlineData(
        "[{R1}, {\"messages\": [{\"role\": \"user}]\n}]}, {R2}]",
        "entry 2 (line 1)",
        "line break inside a string"
    )]
    [InlineData("{R1}\n{\"messages\": [\n{R2}\n", "line 2", "the text ends")]
    [InlineData("{R1}\n{R2},\n", "line 2", "found , after the end")]
    public void Damage_stays_with_its_entry(string content, string place, string text)
    {
        var problem = Assert.Single(Rows(content).SelectMany(row => row.Problems));
        Assert.StartsWith($"a.json, {place}", problem.ToString(), StringComparison.Ordinal);
        Assert.Contains(text, problem.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[{R1}, {\"messages\": [", "ends inside entry 2 (line 1)")]
    [InlineData("[{R1},\n{\"messages\": [\"a]}\n, {R2}]", "line break inside a string")]
    [InlineData("[{R1}, {R2}", "no closing ]")]
    [InlineData("[{R1}] {R2}", "after the end of the array")]
    [InlineData("PAR1....", "a Parquet file")]
    [InlineData("version https://git-lfs.github.com/spec/v1\n", "Git LFS")]
    [InlineData("<!DOCTYPE html>", "is a web page")]
    [InlineData("<HTML><body>", "is a web page")]
    [InlineData("Entry not found", "is a server's error message")]
    [InlineData("PK\u0003\u0004....", "a zip archive or an Excel file")]
    public void A_file_that_is_not_whole_is_refused_whatever_the_policy(string content, string text)
    {
        using var folder = new TemporaryFolder();
        var error = Assert.Throws<InvalidDataException>(() =>
            ConversationFile.Read(folder.Write("a.json", Fill(content)), BadRows.Skip)
        );
        Assert.Contains(text, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_row_that_is_too_long_is_refused_and_the_next_one_is_read()
    {
        var big = new string('x', JsonLines.MaxBytes);
        foreach (var (open, between, close) in ((string, string, string)[])[("", "\n", ""), ("[", ",", "]")])
        {
            var rows = Rows($"{open}{{\"messages\": \"{big}\"}}{between}{{R2}}{close}");
            Assert.Equal(2, rows.Count);
            Assert.Contains("more than 16 MiB", Assert.Single(rows[0].Problems).Text, StringComparison.Ordinal);
            Assert.Empty(rows[1].Problems);
        }
    }

    private static List<ConversationRow> Rows(string content)
    {
        using var folder = new TemporaryFolder();
        return [.. ConversationFile.Rows(folder.Write("a.json", Fill(content)))];
    }

    // Contents hold brackets, which must not be taken for JSON's.
    private static string Fill(string content)
    {
        const string First = "[{\"role\": \"user\", \"content\": \"]1\"}]";
        const string Second = "[{\"role\": \"user\", \"content\": \"[2\"}]";
        return content
            .Replace("{R1}", $"{{\"messages\": {First}}}", StringComparison.Ordinal)
            .Replace("{R2}", $"{{\"messages\": {Second}}}", StringComparison.Ordinal)
            .Replace("{M1}", First, StringComparison.Ordinal)
            .Replace("{M2}", Second, StringComparison.Ordinal);
    }
}
