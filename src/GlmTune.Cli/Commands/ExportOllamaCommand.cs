using System.CommandLine;
using GlmTune.Files;
using GlmTune.Recipes.Exporting;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune export ollama</c>: writes a folder for <c>ollama create</c>.</summary>
internal static class ExportOllamaCommand
{
    public static Command Create(Screen screen)
    {
        var path = Arguments.Tuned();
        var output = new Argument<string>("OUT") { Description = "output folder" };
        var type = GgufOptions.Type("q4_k_m");
        var baseModel = Arguments.Base();
        var command = new Command("ollama", "Write a folder for Ollama: a GGUF file and a Modelfile.")
        {
            path,
            output,
            type,
            baseModel,
        };
        command.SetAction(given =>
        {
            var folder = given.GetRequiredValue(output);
            var problems = new ProblemReport();
            var files = GgufOptions.Read(given.GetRequiredValue(path), given.GetValue(baseModel), problems);
            problems.Throw();
            var report = OllamaExport.Run(
                files!,
                folder,
                GgufOptions.TypeNamed(given.GetValue(type) ?? "q4_k_m"),
                GgufOptions.Progress(screen)
            );
            GgufOptions.Tell(screen, folder, report);
            screen.Lines.WriteLine($"Next: ollama create NAME -f {Path.Combine(folder, OllamaExport.Modelfile)}");
        });
        return command;
    }
}
