using System.CommandLine;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Weights.Gguf;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune export gguf</c>: writes a model or an adapter as a GGUF file.</summary>
internal static class ExportGgufCommand
{
    public static Command Create(Screen screen)
    {
        var path = Arguments.Tuned();
        var output = new Argument<string>("OUT") { Description = "output file, such as model.gguf" };
        var type = GgufOptions.Type("that of the model");
        var adapterOnly = new Option<bool>("--adapter-only")
        {
            Description = "write the LoRA adapter alone, for use with a GGUF file of its base model",
        };
        var layout = new Option<CheckpointLayout?>("--layout")
        {
            HelpName = "hf|original",
            Description =
                "query, key and value as three tensors (hf) or one (original); default: as in PATH. An adapter must "
                + "match its base model's file",
            CustomParser = LayoutOption.Create("").CustomParser,
        };
        var baseModel = Arguments.Base();
        var command = new Command("gguf", "Write a model or adapter as a GGUF file, for llama.cpp.")
        {
            path,
            output,
            type,
            adapterOnly,
            layout,
            baseModel,
        };
        command.SetAction(given =>
        {
            var (file, chosen) = (given.GetRequiredValue(output), GgufOptions.TypeNamed(given.GetValue(type)));
            void Note(string text) => screen.Error.WriteLine($"note: {text}");
            if (given.GetValue(adapterOnly))
            {
                var tuned = TunedPath.Resolve(given.GetRequiredValue(path), given.GetValue(baseModel));
                var matrices = chosen switch
                {
                    null or GgufFileType.F32 => GgufType.F32,
                    GgufFileType.F16 => GgufType.F16,
                    GgufFileType.BF16 => GgufType.BF16,
                    _ => throw new InvalidDataException(
                        $"--type {given.GetValue(type)}: an adapter is small and is not quantized; expected f32, "
                            + "f16 or bf16."
                    ),
                };
                GgufOptions.Tell(
                    screen,
                    file,
                    GgufAdapterExport.Run(tuned, file, matrices, given.GetValue(layout), Note)
                );
                return;
            }

            var problems = new ProblemReport();
            var files = GgufOptions.Read(given.GetRequiredValue(path), given.GetValue(baseModel), problems);
            using var export = files is null
                ? null
                : problems.Try(() => GgufExport.Plan(files, chosen, given.GetValue(layout)));
            problems.Add(WriteProbe.FindProblemOfFile(file, export?.Bytes ?? 0) is { } problem ? [problem] : []);
            problems.Throw();
            GgufOptions.Tell(screen, file, export!.Write(file, GgufOptions.Progress(screen)));
        });
        return command;
    }
}
