using GlmTune.Data.Conversations;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Runs;
using GlmTune.Training;

namespace GlmTune.Recipes.Tests;

/// <summary>Runs as C# programs start them.</summary>
public sealed class FineTuneFromCodeTests : IDisposable
{
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Fact]
    public async Task A_run_records_itself_and_reports_progress()
    {
        var progress = new Steps();
        var result = await FineTune.RunAsync(
            tiny.Recipe("recorded", null),
            TinyRun.Data,
            tiny.Model,
            progress: progress,
            cancellationToken: TestContext.Current.CancellationToken
        );
        Assert.Equal(4, result.Steps);
        Assert.Equal([0, 1, 2, 3, 4], progress.Seen);
        Assert.True(File.Exists(Path.Combine(tiny.At("recorded"), "run.json")));
        Assert.True(File.Exists(Path.Combine(tiny.At("recorded"), RunLog.FileName)));
    }

    [Fact]
    public async Task Rows_from_code_are_kept_and_trained_on()
    {
        Conversation[] rows =
        [
            new([new Message(Role.User, "类型#裙"), new Message(Role.Assistant, "裙子。")]),
            new([new Message(Role.User, "类型#裤"), new Message(Role.Assistant, "裤子。")]),
        ];
        var lines = new StringWriter();
        var result = await FineTune.RunAsync(
            tiny.Recipe("code", null),
            new ConversationSet { Train = rows },
            tiny.Model,
            reporter: new TextReporter(lines),
            cancellationToken: TestContext.Current.CancellationToken
        );
        Assert.Equal(4, result.Steps);
        Assert.Contains("2 rows;", lines.ToString(), StringComparison.Ordinal);
        var kept = ConversationFile.Read(Path.Combine(tiny.At("code"), "data", "train.jsonl"));
        Assert.Equal(
            rows.SelectMany(row => row.Messages).Select(message => message.Content),
            kept.SelectMany(row => row.Messages).Select(message => message.Content)
        );
    }

    [Fact]
    public async Task Rows_that_are_missing_are_named_before_anything_is_written()
    {
        var recipe = tiny.Recipe("missing", null);
        await Assert.ThrowsAsync<ArgumentException>(() =>
            FineTune.RunAsync(recipe, new ConversationSet { Train = [] }, tiny.Model)
        );
        var evaluating = recipe with
        {
            Training = recipe.Training with { EvaluationStrategy = IntervalStrategy.Steps },
        };
        var error = await Assert.ThrowsAsync<ArgumentException>(() =>
            FineTune.RunAsync(
                evaluating,
                new ConversationSet { Train = [new([new Message(Role.User, "a"), new Message(Role.Assistant, "b")])] },
                tiny.Model
            )
        );
        Assert.Contains("validation", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(tiny.At("missing")));
    }

    private sealed class Steps : IProgress<FineTuneProgress>
    {
        public List<long> Seen { get; } = [];

        public void Report(FineTuneProgress value) => Seen.Add(value.Steps);
    }
}
