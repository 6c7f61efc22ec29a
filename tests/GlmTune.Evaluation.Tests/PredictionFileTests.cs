namespace GlmTune.Evaluation.Tests;

public sealed class PredictionFileTests : IDisposable
{
    private readonly string path = Path.GetTempFileName();

    public void Dispose() => File.Delete(path);

    [Fact]
    public void Rows_and_their_other_fields_survive_a_round_trip()
    {
        const string lines =
            "{\"prediction\":\"你好\\n\\\"<\",\"label\":\"\",\"id\":7,\"messages\":[{\"role\":\"user\"}]}\n"
            + "{\"prediction\":\"a\",\"label\":\"b\"}\n";
        File.WriteAllText(path, "\ufeff" + lines.Replace("\n{", "\r\n \n{"));
        var rows = PredictionFile.Read(path);
        PredictionFile.Write(path, rows);

        Assert.Equal(2, rows.Count);
        Assert.Equal("你好\n\"<", rows[0].Prediction);
        Assert.Equal(7, rows[0].Extra["id"].GetInt32());
        Assert.Equal(lines, File.ReadAllText(path));
    }

    [Fact]
    public void Every_bad_line_is_reported_with_its_number()
    {
        File.WriteAllLines(
            path,
            [
                "{\"prediction\":\"a\",\"label\":\"b\"}",
                "{\"prediction\":\"a\"}",
                "",
                "{\"prediction\":3,\"label\":\"b\"}",
                "[]",
                "{",
                "{\"prediction\":\"\\ud800\",\"label\":\"\"}",
                "{\"label\":\"a\",\"label\":\"b\",\"prediction\":\"\"}",
            ]
        );
        var message = Assert.Throws<InvalidDataException>(() => PredictionFile.Read(path)).Message;

        Assert.Equal(
            [2, 4, 5, 6, 7, 8],
            message.Split('\n').Select(line => int.Parse(line[(path.Length + ", line ".Length)..].Split(':')[0]))
        );
        Assert.Contains("line 2: has no 'label'", message);
        Assert.Contains("line 4: 'prediction' is a number; expected a string", message);
        Assert.Contains("line 5: found an empty array; expected an object", message);
    }

    [Fact]
    public void A_file_without_rows_is_refused()
    {
        File.WriteAllText(path, "\n");
        Assert.Contains("has no rows", Assert.Throws<InvalidDataException>(() => PredictionFile.Read(path)).Message);
    }

    [Theory]
    [InlineData("{\"predict\": \"p\", \"label\": \"l\", \"prompt\": \"q\"}", "prompt")]
    [InlineData("{\"response\": \"p\", \"labels\": \"l\", \"history\": []}", "history")]
    public void The_names_of_other_programs_are_read(string line, string extra)
    {
        var path = Path.GetTempFileName();
        File.WriteAllText(path, line);
        var row = Assert.Single(PredictionFile.Read(path));
        File.Delete(path);
        Assert.Equal(("p", "l", extra), (row.Prediction, row.Label, Assert.Single(row.Extra).Key));
    }

    [Theory]
    [InlineData("{\"output\": \"p\", \"label\": \"l\"}", "has no 'prediction'; found 'output', 'label'")]
    [InlineData("{\"predict\": \"p\", \"response\": \"r\", \"label\": \"l\"}", "'predict' and 'response'")]
    [InlineData("{'predict': 1}", "found ' (a single quote)")]
    public void Other_names_and_faults_are_named(string line, string text)
    {
        var path = Path.GetTempFileName();
        File.WriteAllText(path, line);
        var message = Assert.Throws<InvalidDataException>(() => PredictionFile.Read(path)).Message;
        File.Delete(path);
        Assert.Contains(text, message);
    }
}
