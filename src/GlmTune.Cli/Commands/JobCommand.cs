using System.CommandLine;
using GlmTune.Studio.Jobs;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune job</c>: what the studio starts for each job; not for people.</summary>
internal static class JobCommand
{
    public static Command Create(Screen screen)
    {
        var folder = new Argument<string>("FOLDER") { Description = "folder of a job of the studio" };
        var command = new Command(JobProcess.CommandName, "Run the command of a job that glmtune studio has written.")
        {
            folder,
        };
        command.Hidden = true;
        command.SetAction(
            async (given, stop) =>
            {
                var job =
                    JobProcess.Current
                    ?? throw new InvalidDataException(
                        $"{given.GetRequiredValue(folder)}: only glmtune studio starts jobs."
                    );
                using var wish = CancellationTokenSource.CreateLinkedTokenSource(stop);
                using var watch = job.WatchForStop(wish.Cancel);
                var own = job.OpenOwnLog() is { } log ? screen with { Output = log, Error = log } : screen;
                var code = await CommandLine
                    .RunAsync(job.Arguments, own, heeds: null, wish.Token)
                    .ConfigureAwait(false);
                job.End(code);
                return code;
            }
        );
        return command;
    }
}
