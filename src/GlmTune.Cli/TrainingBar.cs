using System.Globalization;
using GlmTune.Files;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;
using Spectre.Console;

namespace GlmTune.Cli;

/// <summary>Shows a training run on a terminal: a progress bar with the values of the last step, below the log
/// lines.</summary>
internal sealed class TrainingBar : TrainingLines
{
    private readonly Screen screen;
    private readonly ProgressTask task;

    private TrainingBar(Screen screen, ProgressTask task)
        : base(
            text => screen.Console.WriteLine(TerminalText.Lines(screen.Translated(text))),
            text => screen.Console.WriteLine(TerminalText.Lines(screen.Translated(text)), new Style(Color.Yellow))
        ) => (this.screen, this.task) = (screen, task);

    /// <summary>Shows a run until it ends.</summary>
    public static FineTuneResult Show(Screen screen, Func<IFineTuneReporter, FineTuneResult> run) =>
        screen
            .Console.Progress()
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = 10 })
            .Start(context => run(new TrainingBar(screen, context.AddTask(screen.Translated("loading"), maxValue: 1))));

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
