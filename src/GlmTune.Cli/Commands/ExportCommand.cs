using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune export</c>: writes models for other programs.</summary>
internal static class ExportCommand
{
    public static Command Create(Screen screen) =>
        new("export", "Write a model for llama.cpp or Ollama; an adapter is merged on the way.")
        {
            ExportGgufCommand.Create(screen),
            ExportOllamaCommand.Create(screen),
        };
}
