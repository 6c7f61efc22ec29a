using System.CommandLine;
using GlmTune.Files;
using GlmTune.Recipes.Chat;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune generate</c>: answers all conversations of a file.</summary>
internal static class GenerateCommand
{
    public static Command Create(Screen screen)
    {
        var (chat, sampling, json) = (new ChatOptions(), new SamplingOptions(), Arguments.Json());
        var input = new Option<string>("--input")
        {
            HelpName = "FILE",
            Required = true,
            Description =
                "JSON Lines file of conversations; a final answer is used as the label, not as part of the " + "prompt",
        };
        var output = new Option<string>("--output")
        {
            HelpName = "FILE",
            Required = true,
            Description = "JSON Lines file with one prediction per conversation; resumed if it exists",
        };
        var overwrite = new Option<bool>("--overwrite")
        {
            Description = "start over and replace an output file that exists",
        };
        var command = new Command(
            "generate",
            "Answer every conversation of a file, in order. Run it again to resume after an interruption."
        )
        {
            input,
            output,
            overwrite,
            json,
        };
        chat.AddTo(command);
        sampling.AddTo(command);
        command.SetAction(
            async (given, stop) =>
            {
                var report = new ProblemReport();
                var files = report.Try(() => chat.Read(given));
                var plan = BatchPlan.Read(
                    files,
                    given.GetRequiredValue(input),
                    given.GetRequiredValue(output),
                    sampling.Read(given),
                    given.GetValue(overwrite),
                    report
                );
                report.Throw();
                using var loaded = ChatOptions.Load(files!, screen);
                var result = await BatchAnswers
                    .RunAsync(loaded.Chat, plan!, (done, all) => Progress(screen, done, all), stop)
                    .ConfigureAwait(false);
                screen.Lines.WriteLine(
                    given.GetValue(json)
                        ? JsonText.Of(
                            new
                            {
                                plan!.Output,
                                result.Rows,
                                result.Answered,
                                result.Failed,
                            }
                        )
                        : $"{plan!.Output}: {result.Rows} rows, {result.Answered} answered now"
                            + (result.Failed > 0 ? $", {result.Failed} with an error" : "")
                );
                if (result.Failed == 0)
                {
                    return ExitCode.Done;
                }

                screen.Error.WriteLine(
                    $"{result.Failed} of {result.Rows} rows could not be answered; their 'error' in {plan.Output} says "
                        + "why. A later run keeps these rows; --overwrite answers all of them again."
                );
                return ExitCode.SomeRowsFailed;
            }
        );
        return command;
    }

    private static void Progress(Screen screen, int done, int all)
    {
        if (screen.IsTerminal)
        {
            screen.Error.Write($"\r{done} of {all}{(done == all ? "\n" : "")}");
        }
    }
}
