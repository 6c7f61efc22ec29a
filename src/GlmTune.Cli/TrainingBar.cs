using System.Globalization;
using GlmTune.Cli.Help;
using GlmTune.Files;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;
using Spectre.Console;

namespace GlmTune.Cli;

/// <summary>Shows a training run on a terminal: a progress bar with the values of the last step, below the log
/// lines.</summary>
internal sealed class TrainingBar : RunLines
{
    private readonly Screen screen;
    private readonly ProgressTask task;

    private TrainingBar(Screen screen, ProgressTask task)
        : base(text => Write(screen, text, Style.Plain), text => Write(screen, text, new Style(Color.Yellow))) =>
        (this.screen, this.task) = (screen, task);

    /// <summary>Shows a run until it ends.</summary>
    public static FineTuneResult Show(Screen screen, Func<IFineTuneReporter, FineTuneResult> run) =>
        screen
            .Console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = 10 })
            .Start(context => run(new TrainingBar(screen, context.AddTask(screen.Translated("loading"), maxValue: 1))));

    // Lines are written over the bar, which would show behind them: each is as wide as the terminal.
    private static void Write(Screen screen, string text, Style style)
    {
        foreach (var line in TerminalText.Lines(screen.Translated(text)).Split('\n'))
        {
            foreach (var row in TextWidth.Wrap(line, screen.Console.Profile.Width))
            {
                var rest = Math.Max(screen.Console.Profile.Width - TextWidth.Of(row), 0);
                screen.Console.Write(new Text(row + new string(' ', rest) + "\n", style));
            }
        }
    }

    public override void Started(FineTuneStart start)
    {
        base.Started(start);
        task.MaxValue = start.TotalSteps;
        task.Value = start.DoneSteps;
    }

    // Short enough for 80 columns; longer text would wrap.
    public override void Stepped(StepReport report)
    {
        base.Stepped(report);
        task.Value = report.Step;
        task.Description = Markup.Escape(
            screen.Translated(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{report.Step}/{Start!.TotalSteps} loss {report.Loss:F4} norm {report.GradientNorm:F2} lr "
                        + $"{report.LearningRate:0.0e+00} {Pace}"
                )
            )
        );
    }
}
