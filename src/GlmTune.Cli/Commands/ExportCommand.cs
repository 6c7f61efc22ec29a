using System.CommandLine;
using GlmTune.Recipes.Exporting;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune export</c>: writes models for other programs.</summary>
internal static class ExportCommand
{
    public static Command Create(Screen screen) =>
        new("export", "Write a model for llama.cpp, Ollama or vLLM; an adapter is merged on the way.")
        {
            ExportGgufCommand.Create(screen),
            ExportOllamaCommand.Create(screen),
            ExportQuantizedCommand.Create(screen, ExportedQuantization.Fp8),
            ExportQuantizedCommand.Create(screen, ExportedQuantization.Int4),
        };
}
