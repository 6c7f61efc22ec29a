using System.Text.RegularExpressions;
using GlmTune.Cli.Help;
using GlmTune.Evaluation;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;

namespace GlmTune.Cli;

public sealed partial class TrainingBarTests
{
    [Theory]
    [InlineData(40), InlineData(60), InlineData(80), InlineData(120)]
    public void Nothing_is_wider_than_the_terminal(int width)
    {
        var output = new StringWriter();
        var screen = new Screen(TextReader.Null, output, TextWriter.Null) { IsTerminal = true, Width = width };
        screen.Console.Profile.Width = width;
        TrainingBar.Show(
            screen,
            reporter =>
            {
                reporter.Note(string.Concat(Enumerable.Repeat("a long note ", 20)));
                reporter.Started(
                    new FineTuneStart(1000, 3000, 0, 1, 8, 1, 2_785_280, 9_402_736_640, "cuda:0", "BFloat16")
                );
                for (var step = 1; step <= 3; step++)
                {
                    reporter.Stepped(Report(step));
                    reporter.Logged(
                        step,
                        new Dictionary<string, double>
                        {
                            ["loss"] = 1.2345,
                            ["grad_norm"] = 12.3456,
                            ["learning_rate"] = 4.99e-4,
                            ["memory_weights_gib"] = 17.5,
                        }
                    );
                    reporter.Evaluating(new EvaluationProgress(EvaluationPart.Answers, step, 3));
                }

                return new FineTuneResult(3, 1.2, TimeSpan.FromSeconds(3), null, false);
            }
        );
        var plain = Escapes().Replace(output.ToString(), "");
        Assert.All(
            plain.Split('\n', '\r'),
            line => Assert.True(TextWidth.Of(line.TrimEnd()) <= width, $"{TextWidth.Of(line)} columns: '{line}'")
        );
        Assert.Contains("loss 1.2345", plain, StringComparison.Ordinal);
    }

    private static StepReport Report(long step) =>
        new(step, 1.2345, 12.3456, 4.99e-4, 0.12, 8192, 4000, 8, TimeSpan.FromSeconds(1));

    [GeneratedRegex("\u001b\\[[0-9;?]*[A-Za-z]")]
    private static partial Regex Escapes();
}
