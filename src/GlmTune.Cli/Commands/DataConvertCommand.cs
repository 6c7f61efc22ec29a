using System.CommandLine;
using GlmTune.Data.Conversations;
using GlmTune.Data.Converting;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune data convert</c>: converts other data formats to conversations.</summary>
internal static class DataConvertCommand
{
    public static Command Create(Screen screen)
    {
        var shape = new Option<string>("--from") { Required = true, Description = "format of the source" };
        shape.AcceptOnlyFromAmong(StringComparer.OrdinalIgnoreCase, [.. RowShape.All.Select(one => one.Name)]);
        var source = new Argument<string>("SOURCE") { Description = "a JSON array, or one object per line" };
        var target = new Argument<string>("TARGET") { Description = "the .jsonl file to write" };
        var calls = new Option<string>("--tool-calls")
        {
            Description = "how tool calls are written",
            DefaultValueFactory = _ => "native",
        };
        calls.AcceptOnlyFromAmong("native", "json");
        var badRows = new Option<string>("--bad-rows")
        {
            Description = "what to do with rows that cannot be converted",
            DefaultValueFactory = _ => "error",
        };
        badRows.AcceptOnlyFromAmong("error", "skip");
        var json = Arguments.Json();
        var command = new Command("convert", "Convert a dataset to conversations in JSON Lines.")
        {
            source,
            target,
            shape,
            calls,
            badRows,
            json,
        };
        command.SetAction(given =>
        {
            var report = DataConversion.Convert(
                RowShape.Named(given.GetRequiredValue(shape)),
                given.GetRequiredValue(source),
                given.GetRequiredValue(target),
                given.GetValue(calls) == "json" ? ToolCallStyle.Json : ToolCallStyle.Native,
                given.GetValue(badRows) == "skip" ? BadRows.Skip : BadRows.Error
            );
            foreach (var problem in FoldedProblems.Lines(report.Problems))
            {
                screen.Error.WriteLine($"skipped: {problem}");
            }

            foreach (var note in report.Notes)
            {
                screen.Error.WriteLine($"note: {note}");
            }

            if (report.EmptyAnswers > 0)
            {
                screen.Error.WriteLine($"note: {report.EmptyAnswers} assistant messages are empty and have no effect.");
            }

            screen.Lines.WriteLine(
                given.GetValue(json)
                    ? JsonText.Of(
                        new
                        {
                            report.Entries,
                            report.Conversations,
                            report.EmptyAnswers,
                            report.Notes,
                            Problems = report.Problems.Select(problem => problem.ToString()),
                        }
                    )
                    : $"{given.GetRequiredValue(target)}: {report.Conversations} conversations from {report.Entries} "
                        + "entries"
                        + (report.Problems.Count > 0 ? $", {report.Skipped} skipped." : ".")
            );
        });
        return command;
    }
}
