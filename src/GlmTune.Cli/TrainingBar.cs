using System.Globalization;
using GlmTune.Cli.Help;
using GlmTune.Evaluation;
using GlmTune.Files;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;
using Spectre.Console;

namespace GlmTune.Cli;

/// <summary>Shows a training run on a terminal: a progress bar with the values of the last step, below the log
/// lines.</summary>
internal sealed class TrainingBar : RunLines, IFineTuneReporter
{
    private const int BarWidth = 10;
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
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = BarWidth })
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

    // A bar and some room stand beside the text. If it is too long, the short one is shown.
    private void Describe(string text, string? shorter = null)
    {
        var room = screen.Console.Profile.Width - BarWidth - 3;
        var line = screen.Translated(text);
        if (TextWidth.Of(line) > room && shorter is not null)
        {
            line = screen.Translated(shorter);
        }

        task.Description = Markup.Escape(TextWidth.Cut(line, room));
    }

    // Of values that do not fit one line, the least important ones go.
    protected override string Fit(IReadOnlyList<(string Name, string Text)> parts)
    {
        var kept = parts.ToList();
        foreach (var name in (string[])["memory", "epoch", "grad_norm", "learning_rate", "pace"])
        {
            if (TextWidth.Of(screen.Translated(base.Fit(kept))) <= screen.Console.Profile.Width)
            {
                break;
            }

            kept.RemoveAll(part => part.Name == name);
        }

        return base.Fit(kept);
    }

    /// <summary>Shows the progress of an evaluation in place of the steps.</summary>
    public void Evaluating(EvaluationProgress progress)
    {
        task.MaxValue = progress.Total;
        task.Value = progress.Done;
        Describe(
            progress.Part == EvaluationPart.Loss
                ? $"loss of rows: {progress.Done} of {progress.Total}"
                : $"answers: {progress.Done} of {progress.Total}"
        );
    }

    public override void Started(FineTuneStart start)
    {
        base.Started(start);
        task.MaxValue = start.TotalSteps;
        task.Value = start.DoneSteps;
    }

    public override void Stepped(StepReport report)
    {
        base.Stepped(report);
        task.MaxValue = Start!.TotalSteps;
        task.Value = report.Step;
        Describe(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{report.Step}/{Start!.TotalSteps} loss {report.Loss:F4} norm {report.GradientNorm:F2} lr "
                    + $"{report.LearningRate:0.0e+00} {Pace}"
            ),
            string.Create(CultureInfo.InvariantCulture, $"{report.Step}/{Start!.TotalSteps} loss {report.Loss:F4}")
        );
    }
}
