namespace GlmTune.Cli;

/// <summary>Whether an output can be written is known before a model is read, and told together with all
/// else.</summary>
public sealed class OutputTests : IDisposable
{
    private const string Pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 18799902784\n";

    private readonly TemporaryFolder folder = new();
    private readonly ModelCopy model = ModelCopy.OfNano();

    public OutputTests() => model.Write("model.safetensors", Pointer);

    public void Dispose()
    {
        model.Dispose();
        folder.Dispose();
    }

    [Theory]
    [InlineData("merge MODEL OUT --device cpu")]
    [InlineData("generate MODEL --input ROWS --output OUT --device cpu")]
    [InlineData("forward MODEL --input GRID --output OUT --device cpu")]
    [InlineData("eval DATA MODEL RECIPE --output OUT --device cpu")]
    [InlineData("train DATA MODEL RECIPE --set training_args.output_dir=OUT")]
    public async Task An_output_below_a_file_is_reported_together_with_a_damaged_model(string command)
    {
        var run = await Of(command, folder.Write("file", "x") + "/out");
        Assert.Equal(2, run.Code);
        Assert.Contains("Git LFS", run.Error, StringComparison.Ordinal);
        Assert.Contains("cannot be written: ", run.Error, StringComparison.Ordinal);
        Assert.Equal("x", File.ReadAllText(folder.At("file")));
    }

    [Theory]
    [InlineData("model init OUT --like NONE --device cpu")]
    [InlineData("checkpoint consolidate NONE OUT")]
    [InlineData("merge NONE OUT --device cpu")]
    [InlineData("generate NONE --input ROWS --output OUT --device cpu")]
    [InlineData("forward NONE --input GRID --output OUT --device cpu")]
    [InlineData("eval DATA NONE RECIPE --output OUT --device cpu")]
    public async Task An_output_below_a_file_is_reported_together_with_a_missing_model(string command)
    {
        var run = await Of(command, folder.Write("file", "x") + "/out");
        Assert.Equal(2, run.Code);
        Assert.Contains("none", run.Error, StringComparison.Ordinal);
        Assert.Contains("cannot be written: ", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model init OUT --like MODEL --device cpu")]
    [InlineData("checkpoint consolidate MODEL OUT")]
    [InlineData("merge MODEL OUT --device cpu")]
    public async Task A_model_is_not_written_where_something_is(string command)
    {
        var run = await Of(command, folder.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains(
            "already exists; a model is only written to a new folder.",
            run.Error,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("data convert ROWS OUT --from openai")]
    [InlineData("generate MODEL --input ROWS --output OUT --device cpu")]
    [InlineData("forward MODEL --input GRID --output OUT --device cpu")]
    public async Task A_file_is_not_written_over_a_folder(string command)
    {
        var run = await Of(command, folder.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains("it is a folder; expected the name of a file.", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model init OUT --like MODEL --device cpu")]
    [InlineData("merge MODEL OUT --device cpu")]
    [InlineData("data convert ROWS OUT --from openai")]
    [InlineData("generate MODEL --input ROWS --output OUT --device cpu")]
    [InlineData("forward MODEL --input GRID --output OUT --device cpu")]
    public async Task An_empty_name_is_refused(string command)
    {
        var run = await Of(command, "");
        Assert.Equal(2, run.Code);
        Assert.Contains("The name of the output is empty", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_problems_of_recipe_model_and_output_are_one_report()
    {
        var run = await Run.Of(
            "train",
            folder.At("nodata"),
            model.Path,
            folder.Write("wrong.yaml", "data_config: {train_file: t.jsonl}\ntraining_args: {learning_rat: 1}\n"),
            "--set",
            $"training_args.output_dir={folder.Write("file", "x")}/out"
        );
        Assert.Equal(2, run.Code);
        string[] all = ["learning_rat", "Git LFS", "nodata", "cannot be written"];
        Assert.All(all, problem => Assert.Contains(problem, run.Error, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_input_is_not_an_output()
    {
        using var whole = ModelCopy.OfNano();
        var rows = folder.Write("rows.jsonl", Row);
        var run = await Run.Of("generate", whole.Path, "--input", rows, "--output", rows, "--overwrite");
        Assert.Equal(2, run.Code);
        Assert.Contains("is the input as well", run.Error, StringComparison.Ordinal);
        Assert.Equal(Row, File.ReadAllText(rows));
    }

    private const string Row =
        """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}""";

    private Task<Run> Of(string command, string output)
    {
        folder.Write("rows.jsonl", Row + "\n");
        folder.Write("grid.json", """{"input_ids": [[1, 2]]}""");
        folder.Write(
            "recipe.yaml",
            "data_config: {train_file: rows.jsonl, val_file: rows.jsonl}\n"
                + "training_args: {output_dir: OUT, use_cpu: true}\n"
        );
        return Run.Of([
            .. command
                .Split(' ')
                .Select(word =>
                    word.Replace("OUT", output, StringComparison.Ordinal)
                        .Replace("ROWS", folder.At("rows.jsonl"), StringComparison.Ordinal)
                        .Replace("GRID", folder.At("grid.json"), StringComparison.Ordinal)
                        .Replace("RECIPE", folder.At("recipe.yaml"), StringComparison.Ordinal)
                        .Replace("DATA", folder.Path, StringComparison.Ordinal)
                        .Replace("MODEL", model.Path, StringComparison.Ordinal)
                        .Replace("NONE", folder.At("none"), StringComparison.Ordinal)
                ),
        ]);
    }
}
