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
