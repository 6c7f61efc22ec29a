using System.CommandLine;
using GlmTune.Recipes.Chat;
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
            var files = TunedChatFiles.Read(
                given.GetRequiredValue(path),
                new TunedChatOptions { BaseModel = given.GetValue(baseModel) }
            );
            var report = OllamaExport.Run(
                files,
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
