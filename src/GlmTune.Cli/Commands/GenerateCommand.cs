using System.CommandLine;
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
                using var loaded = chat.Load(given, screen);
                var (answered, rows) = await BatchAnswers
                    .RunAsync(
                        loaded.Chat,
                        loaded.Identity,
                        given.GetRequiredValue(input),
                        given.GetRequiredValue(output),
                        sampling.Read(given),
                        given.GetValue(overwrite),
                        (done, all) => Progress(screen, done, all),
                        stop
                    )
                    .ConfigureAwait(false);
                screen.Output.WriteLine(
                    given.GetValue(json)
                        ? JsonText.Of(
                            new
                            {
                                Output = given.GetRequiredValue(output),
                                Rows = rows,
                                Answered = answered,
                            }
                        )
                        : $"{given.GetRequiredValue(output)}: {rows} rows, {answered} answered now"
                );
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
