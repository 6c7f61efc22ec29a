using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune sample</c>: copies the sample data, model and recipes that come with the program.</summary>
internal static class SampleCommand
{
    /// <summary>The sample beside the program: <c>configs</c>, <c>data</c> and <c>models</c>.</summary>
    public static readonly string Source = Path.Combine(AppContext.BaseDirectory, "sample");

    public static Command Create(Screen screen)
    {
        var folder = new Argument<string>("FOLDER")
        {
            Arity = ArgumentArity.ZeroOrOne,
            Description = "where to put them; default: glmtune-sample",
            DefaultValueFactory = _ => "glmtune-sample",
        };
        var command = new Command("sample", "Copy the sample data, small model and recipes to a folder.") { folder };
        command.SetAction(given =>
        {
            var target = given.GetRequiredValue(folder);
            var copied = SampleFiles.Copy(Source, target);
            screen.Lines.WriteLine(
                copied == 0 ? $"{target}: all files of the sample are there already" : $"{target}: {copied} files"
            );
            screen.Lines.WriteLine(
                "Next, in that folder: glmtune train data/ads models/glm-nano configs/lora-nano.yaml"
            );
        });
        return command;
    }
}
