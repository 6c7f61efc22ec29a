using System.CommandLine;
using System.Globalization;
using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune data check</c>: statistics and problems of a recipe's data.</summary>
internal static class DataCheckCommand
{
    public static Command Create(Screen screen)
    {
        var (folder, model, config) = (Arguments.DataFolder(), Arguments.Model(), Arguments.Config());
        var (json, set) = (Arguments.Json(), Arguments.Set());
        var command = new Command(
            "check",
            "Check every row of a recipe's data; exit code 2 if training would refuse it."
        )
        {
            folder,
            model,
            config,
            json,
            set,
        };
        command.SetAction(
            (given, stop) =>
            {
                var recipe = RecipeFile.Read(given.GetRequiredValue(config), given.GetRequiredValue(set));
                var tokenizer = TokenizeText.ReadTokenizer(given.GetRequiredValue(model));
                var refused = false;
                var reports = new Dictionary<string, object>();
                var (found, missing) = DataFolder.Check(recipe.Data, given.GetRequiredValue(folder), tokenizer, stop);
                foreach (var (split, report) in found)
                {
                    refused |=
                        report.UsableRows == 0
                        || (
                            recipe.Data.TrainRows.BadRows == BadRows.Error
                            && report.Findings.Any(finding => finding.IsError)
                        );
                    if (given.GetValue(json))
                    {
                        reports.Add(split.Name, AsJson(report));
                    }
                    else
                    {
                        Write(screen.Lines, split, report);
                    }
                }

                if (given.GetValue(json))
                {
                    screen.Output.WriteLine(JsonText.Of(reports));
                }

                foreach (var text in missing)
                {
                    screen.Error.WriteLine(text);
                }

                return Task.FromResult(refused || missing.Count > 0 ? ExitCode.Users : ExitCode.Done);
            }
        );
        return command;
    }

    private static object AsJson(SplitReport report) =>
        new
        {
            report.File,
            report.Rows,
            report.UsableRows,
            report.Messages,
            report.Answers,
            report.PromptsTooLong,
            report.ToolCalls,
            report.Tokens,
            report.SupervisedTokens,
            report.CutRows,
            RowsWithoutEnd = report.Count(FindingKind.LostEnd),
            RowsWithNothingLearnt = report.Count(FindingKind.NothingLearnt),
            Lengths = new
            {
                report.Lengths.Shortest,
                report.Lengths.Median,
                report.Lengths.Mean,
                report.Lengths.Percentile95,
                report.Lengths.Longest,
                Histogram = report.Lengths.Histogram.Select(bar => new { bar.AtMost, bar.Rows }),
            },
            report.Notes,
            Findings = report.Findings.Select(finding => new
            {
                Kind = finding.Kind.ToString(),
                finding.IsError,
                finding.Problem.Line,
                finding.Problem.Place.Entry,
                finding.Problem.Message,
                finding.Problem.Text,
            }),
        };

    private static void Write(TextWriter output, DataSplit split, SplitReport report)
    {
        void Line(FormattableString line) => output.WriteLine(line.ToString(CultureInfo.InvariantCulture));
        Line($"{split.Name}: {report.File}");
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  {report.Rows} rows, {report.UsableRows} usable; {report.Messages} messages, "
                    + $"{report.Answers} answers, {report.ToolCalls} tool calls"
            )
        );
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  {report.Tokens} tokens, {report.SupervisedTokens} supervised; {report.CutRows} rows "
                    + $"truncated, {report.Count(FindingKind.LostEnd)} of them without their end token; "
                    + $"{report.PromptsTooLong} prompts too long to evaluate"
            )
        );
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  {report.Count(FindingKind.NothingLearnt)} rows without supervised tokens; "
                    + $"{report.Count(FindingKind.WrongArguments) + report.Count(FindingKind.UndeclaredTool)} calls "
                    + $"that violate their tools' schemas"
            )
        );
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  tokens per row: min {report.Lengths.Shortest}, median {report.Lengths.Median}, mean "
                    + $"{report.Lengths.Mean:F1}, p95 {report.Lengths.Percentile95}, max {report.Lengths.Longest}"
            )
        );
        var most = report.Lengths.Histogram.Select(bar => bar.Rows).DefaultIfEmpty().Max();
        foreach (var (atMost, rows) in report.Lengths.Histogram)
        {
            Line($"  {atMost,8} {rows,8} {new string('█', (int)Math.Ceiling(40.0 * rows / Math.Max(most, 1)))}");
        }

        foreach (var (what, isError) in ((string, bool)[])[("error", true), ("note", false)])
        {
            var problems = report
                .Findings.Where(finding => finding.IsError == isError)
                .Select(finding => finding.Problem);
            foreach (var line in FoldedProblems.Lines(problems))
            {
                output.WriteLine($"{what}: {line}");
            }
        }

        foreach (var note in report.Notes)
        {
            output.WriteLine($"note: {note}");
        }

        output.WriteLine();
    }
}
