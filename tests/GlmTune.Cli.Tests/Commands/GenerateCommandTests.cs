using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Cli.Commands;

public sealed class GenerateCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly string nano = Run.InRepository("models/glm-nano");

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task An_output_is_continued_where_it_stopped_and_as_it_would_have_been()
    {
        var whole = await Answers("whole.jsonl", Rows("a", "b", "c"));
        Assert.Equal("whole.jsonl: 3 rows, 3 answered now", whole.Line);
        File.WriteAllText(
            folder.At("part.jsonl"),
            string.Concat(whole.Rows.Take(1).Select(row => row + "\n")) + "{\"li"
        );
        var part = await Answers("part.jsonl", Rows("a", "b", "c"));
        Assert.Equal("part.jsonl: 3 rows, 2 answered now", part.Line);
        Assert.Equal(whole.Rows, part.Rows);
        // More questions behind the same ones are more work of the same job.
        var more = await Answers("whole.jsonl", Rows("a", "b", "c", "d"));
        Assert.Equal("whole.jsonl: 4 rows, 1 answered now", more.Line);
        Assert.Equal(whole.Rows, more.Rows.Take(3));
    }

    [Theory]
    [InlineData("line 1: answers another question", "x,b", "")]
    [InlineData("line 2: answers another question", "a,x", "")]
    [InlineData("line 2: is an answer beyond the last row of the input", "a", "")]
    [InlineData("line 1: was generated with another chat template or other settings", "a,b", "--repetition-penalty 2")]
    [InlineData(
        "line 1: was generated with another chat template or other settings",
        "a,b",
        "--template glm-4-mid-2024"
    )]
    [InlineData("line 1: answers another question, was generated with another", "b,a", "--min-p 0.5")]
    public async Task An_output_of_another_job_is_refused_and_left_as_it_is(string why, string input, string options)
    {
        await Answers("o.jsonl", Rows("a", "b"));
        var before = File.ReadAllText(folder.At("o.jsonl"));
        var run = await Generate(
            "o.jsonl",
            Rows(input.Split(',')),
            options.Split(' ', StringSplitOptions.RemoveEmptyEntries)
        );
        Assert.Equal(2, run.Code);
        Assert.Contains($"o.jsonl, {why}", run.Error, StringComparison.Ordinal);
        Assert.Contains("--overwrite", run.Error, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllText(folder.At("o.jsonl")));
    }

    [Fact]
    public async Task Another_model_of_the_same_shape_is_another_job()
    {
        await Answers("o.jsonl", Rows("a"));
        using var other = ModelCopy.OfNano();
        var bytes = File.ReadAllBytes(other.At("model.safetensors"));
        bytes.AsSpan(bytes.Length / 2, 1 << 17).Clear();
        File.WriteAllBytes(other.At("model.safetensors"), bytes);
        var run = await Generate("o.jsonl", Rows("a"), [], other.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains("line 1: comes from another model or adapter", run.Error, StringComparison.Ordinal);
        using var copy = ModelCopy.OfNano();
        Assert.Equal(0, (await Generate("o.jsonl", Rows("a"), [], copy.Path)).Code);
    }

    [Fact]
    public async Task Starting_over_is_asked_for()
    {
        await Answers("o.jsonl", Rows("a", "b"));
        Assert.Equal(0, (await Generate("o.jsonl", Rows("c"), ["--overwrite"])).Code);
        Assert.Single(File.ReadAllLines(folder.At("o.jsonl")));
    }

    [Theory]
    [InlineData("""{"line": 1, "prediction": "x"}""", "does not say which model")]
    [InlineData("""{"prediction": "x"}""", "is not a row written by generate")]
    [InlineData("""{"line": 1, "digest": 5}""", "is not a row written by generate")]
    [InlineData("hello", "is not a row written by generate")]
    public async Task Rows_of_something_else_are_refused(string row, string why)
    {
        folder.Write("o.jsonl", row + "\n");
        var run = await Generate("o.jsonl", Rows("a"), []);
        Assert.Equal(2, run.Code);
        Assert.Contains($"o.jsonl, line 1: {why}", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_row_that_cannot_be_answered_says_so_and_the_others_are_answered()
    {
        using var model = ModelCopy.OfNano();
        model.Edit("config.json", config => config["seq_length"] = 60);
        var input = Rows("a", new string('长', 300), "b");
        var first = await Generate("o.jsonl", input, [], model.Path);
        Assert.Equal(3, first.Code);
        Assert.Equal("o.jsonl: 3 rows, 2 answered now, 1 with an error", Path.GetFileName(first.Output.Trim()));
        Assert.Contains("1 of 3 rows could not be answered", first.Error, StringComparison.Ordinal);
        var rows = File.ReadAllLines(folder.At("o.jsonl")).Select(row => JsonNode.Parse(row)!).ToList();
        Assert.Matches(
            "^The prompt has [0-9]+ tokens, which leaves no room for an answer: prompt and answer are "
                + "limited to 60 tokens together.$",
            (string)rows[1]["error"]!
        );
        Assert.Equal("error", (string)rows[1]["finish_reason"]!);
        Assert.Null(rows[1]["prediction"]);
        Assert.All([rows[0], rows[2]], row => Assert.NotEqual("", (string)row["prediction"]!));

        // What is there is kept, and still counted.
        var again = await Generate("o.jsonl", input, [], model.Path);
        Assert.Equal((3, 3), (again.Code, File.ReadAllLines(folder.At("o.jsonl")).Length));
        Assert.Equal("o.jsonl: 3 rows, 0 answered now, 1 with an error", Path.GetFileName(again.Output.Trim()));
    }

    [Fact]
    public async Task Entries_of_an_array_have_their_numbers()
    {
        var run = await Generate("o.jsonl", $"[{Rows("a", "b").Trim().Replace('\n', ',')}]", []);
        Assert.Equal(0, run.Code);
        Assert.Equal(
            [1, 2],
            File.ReadAllLines(folder.At("o.jsonl")).Select(row => (int)JsonNode.Parse(row)!["entry"]!)
        );
    }

    [Fact]
    public async Task Settings_that_exclude_each_other_end_the_run_before_the_model_is_read()
    {
        using var model = ModelCopy.OfNano();
        model.Edit("generation_config.json", config => config["num_beams"] = 2);
        model.Write("model.safetensors", "<html>");
        var run = await Run.Of(
            "generate",
            model.Path,
            "--input",
            folder.Write("in.jsonl", Rows("a")),
            "--output",
            folder.At("o.jsonl"),
            "--top-k",
            "5",
            "--device",
            "cpu"
        );
        Assert.Equal(2, run.Code);
        Assert.Contains("web page", run.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(folder.At("o.jsonl")));
    }

    private static string Rows(params string[] questions) =>
        string.Concat(
            questions.Select(question =>
                new JsonObject
                {
                    ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = question }),
                }.ToJsonString() + "\n"
            )
        );

    private async Task<(string Line, string[] Rows)> Answers(string output, string input)
    {
        var run = await Generate(output, input, []);
        Assert.Equal((0, ""), (run.Code, run.Error));
        var rows = File.ReadAllLines(folder.At(output));
        Assert.All(rows, row => JsonDocument.Parse(row).Dispose());
        return (Path.GetFileName(run.Output.Trim()), rows);
    }

    private Task<Run> Generate(string output, string input, string[] options, string? model = null) =>
        Run.Of([
            "generate",
            model ?? nano,
            "--input",
            folder.Write("in.jsonl", input),
            "--output",
            folder.At(output),
            "--device",
            "cpu",
            "--max-new-tokens",
            "3",
            "--temperature",
            "0",
            .. options,
        ]);
}
