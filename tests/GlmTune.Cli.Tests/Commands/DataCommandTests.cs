using System.Text.Json;

namespace GlmTune.Cli.Commands;

public sealed class DataCommandTests
{
    private const string Recipe = "data_config:\n  train_file: train.jsonl\ntraining_args:\n  output_dir: ./output\n";
    private static readonly string Nano = Run.InRepository("models/glm-nano");

    [Fact]
    public async Task Show_marks_what_is_learnt_of_a_row_in_ids_and_in_text()
    {
        using var folder = new TemporaryFolder();
        var config = Write(
            folder,
            """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"""
        );
        var run = await Run.Of("data", "show", folder.Path, Nano, config, "--row", "1");
        Assert.Equal(0, run.Code);
        Assert.Contains("[gMASK]<sop><|user|>\na<|assistant|>«\nb<|user|>»", run.Output, StringComparison.Ordinal);

        var json = JsonDocument
            .Parse((await Run.Of("data", "show", folder.Path, Nano, config, "--json")).Output)
            .RootElement;
        var ids = json.GetProperty("input_ids").EnumerateArray().Select(id => id.GetInt32()).ToArray();
        var labels = json.GetProperty("labels").EnumerateArray().Select(id => id.GetInt32()).ToArray();
        Assert.Equal([2034, 2036, 2039, 2040, 2039], ids.Where(id => id >= 2034));
        Assert.Equal([-100, -100, -100, -100, -100, -100, .. ids[^3..]], labels);
        Assert.Contains(
            $"{string.Join(' ', ids[..^3])} «{string.Join(' ', ids[^3..])}»",
            run.Output,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task Show_takes_the_line_of_a_row_and_says_how_many_there_are()
    {
        using var folder = new TemporaryFolder();
        var row = """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}""";
        var config = Write(folder, $"{row}\n\n{row}");
        Assert.Contains(
            "line 3:",
            (await Run.Of("data", "show", folder.Path, Nano, config, "--row", "2")).Output,
            StringComparison.Ordinal
        );
        foreach (var wrong in (string[])["0", "3"])
        {
            var run = await Run.Of("data", "show", folder.Path, Nano, config, "--row", wrong);
            Assert.Equal(2, run.Code);
            Assert.Contains("it has 2 rows", run.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Check_names_every_bad_row_and_refuses_what_training_would_refuse()
    {
        using var folder = new TemporaryFolder();
        var good = """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}""";
        var config = Write(
            folder,
            $"{good}\n{{\"messages\": [{{\"role\": \"user\", \"content\": \"a\"}}]}}\nnonsense\n{good}"
        );
        var run = await Run.Of("data", "check", folder.Path, Nano, config);
        Assert.Equal(2, run.Code);
        Assert.Contains("4 rows, 2 usable", run.Output, StringComparison.Ordinal);
        Assert.Contains("error: train.jsonl, line 2:", run.Output, StringComparison.Ordinal);
        Assert.Contains("error: train.jsonl, line 3:", run.Output, StringComparison.Ordinal);

        var skipping = await Run.Of(
            "data",
            "check",
            folder.Path,
            Nano,
            config,
            "--json",
            "--set",
            "data_config.bad_rows=skip"
        );
        Assert.Equal(0, skipping.Code);
        var train = JsonDocument.Parse(skipping.Output).RootElement.GetProperty("train");
        Assert.Equal(2, train.GetProperty("usable_rows").GetInt32());
        Assert.Equal(
            [2, 3],
            train.GetProperty("findings").EnumerateArray().Select(finding => finding.GetProperty("line").GetInt32())
        );
    }

    [Fact]
    public async Task Missing_data_files_are_all_named()
    {
        using var folder = new TemporaryFolder();
        var config = folder.Write("recipe.yaml", "data_config:\n  train_file: one.jsonl\n  val_file: two.jsonl\n");
        var run = await Run.Of("data", "check", folder.Path, Nano, config);
        Assert.Equal(2, run.Code);
        Assert.Contains("one.jsonl", run.Error, StringComparison.Ordinal);
        Assert.Contains("two.jsonl", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Convert_writes_conversations_that_check_accepts()
    {
        using var folder = new TemporaryFolder();
        var source = folder.Write(
            "source.json",
            """[{"content": "类型#裤", "summary": "一条裤子"}, {"content": "类型#裙", "summary": "一条裙子"}]"""
        );
        var run = await Run.Of("data", "convert", source, folder.At("train.jsonl"), "--from", "advertisegen", "--json");
        Assert.Equal(0, run.Code);
        Assert.Equal(2, JsonDocument.Parse(run.Output).RootElement.GetProperty("conversations").GetInt32());
        Assert.Equal(0, (await Run.Of("data", "check", folder.Path, Nano, folder.Write("recipe.yaml", Recipe))).Code);
    }

    private static string Write(TemporaryFolder folder, string rows)
    {
        folder.Write("train.jsonl", rows);
        return folder.Write("recipe.yaml", Recipe);
    }
}
