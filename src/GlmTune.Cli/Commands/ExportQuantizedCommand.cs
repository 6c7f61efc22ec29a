using System.CommandLine;
using GlmTune.Files;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune export fp8</c> and <c>int4</c>: write a quantized model folder for vLLM.</summary>
internal static class ExportQuantizedCommand
{
    public static Command Create(Screen screen, ExportedQuantization type)
    {
        var path = Arguments.Tuned();
        var output = new Argument<string>("OUT") { Description = "output folder" };
        var layout = LayoutOption.Create("default: hf");
        var baseModel = Arguments.Base();
        var command =
            type == ExportedQuantization.Fp8
                ? new Command("fp8", "Write a model with weights in fp8, for vLLM: 8 bits, a scale for each row.")
                : new Command("int4", "Write a model with 4-bit weights, for vLLM: a scale for each 128 values.");
        command.Add(path);
        command.Add(output);
        command.Add(layout);
        command.Add(baseModel);
        command.SetAction(given =>
        {
            var folder = given.GetRequiredValue(output);
            var problems = new ProblemReport();
            var tuned = problems.Try(() => TunedPath.Resolve(given.GetRequiredValue(path), given.GetValue(baseModel)));
            using var export = tuned is null
                ? null
                : problems.Try(() => QuantizedExport.Plan(tuned, type, given.GetValue(layout)));
            problems.Add(WriteProbe.FindProblemOfNewFolder(folder, export?.Bytes ?? 0) is { } problem ? [problem] : []);
            problems.Throw();
            foreach (var note in export!.Notes)
            {
                screen.Error.WriteLine($"note: {note}");
            }

            export.Write(folder, GgufOptions.Progress(screen));
            screen.Lines.WriteLine($"{folder}: {WriteProbe.Size(export.Bytes)} of weights");
        });
        return command;
    }
}
