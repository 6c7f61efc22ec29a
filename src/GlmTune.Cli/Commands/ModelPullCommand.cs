using System.CommandLine;
using GlmTune.Files;
using GlmTune.Hub;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model pull</c>: downloads a model.</summary>
internal static class ModelPullCommand
{
    public static Command Create(Screen screen)
    {
        var name = new Argument<string>("NAME")
        {
            Description = "OWNER/NAME, or OWNER/NAME@REVISION for a branch, tag or commit",
        };
        var from = new Option<ModelSite>("--from")
        {
            HelpName = "huggingface|modelscope",
            Description = "site to download from, and whose cache the model is put into",
            DefaultValueFactory = _ => ModelSite.HuggingFace,
            CustomParser = result =>
            {
                switch (result.Tokens[0].Value)
                {
                    case "huggingface":
                        return ModelSite.HuggingFace;
                    case "modelscope":
                        return ModelSite.ModelScope;
                    default:
                        result.AddError(
                            $"--from: expected huggingface or modelscope, found '{result.Tokens[0].Value}'."
                        );
                        return default;
                }
            },
        };
        var layout = LayoutOption.Create("");
        layout.Description = "refuse a model whose tensors are named otherwise, before its weights are downloaded";
        var command = new Command(
            "pull",
            "Download what glmtune reads of a model: safetensors, tokenizer, configuration. Run it again to resume."
        )
        {
            name,
            from,
            layout,
        };
        command.SetAction(
            async (given, stop) =>
            {
                var hub = HubName.Parse(given.GetRequiredValue(name));
                using var line = new ProgressLine(screen);
                var transfer = new TransferLine(line, TimeProvider.System);
                var pulled = await PullModel
                    .RunAsync(
                        hub,
                        given.GetValue(from),
                        given.GetValue(layout),
                        transfer.Show,
                        text =>
                        {
                            line.Clear();
                            screen.Error.WriteLine($"note: {text}");
                        },
                        stop
                    )
                    .ConfigureAwait(false);
                line.Clear();
                screen.Lines.WriteLine(
                    pulled.Received == 0
                        ? $"{hub}: already here, {WriteProbe.Size(pulled.Bytes)} in {pulled.FileCount} files"
                        : $"{hub}: {WriteProbe.Size(pulled.Bytes)} in {pulled.FileCount} files"
                );
                screen.Output.WriteLine(pulled.Folder);
                return ExitCode.Done;
            }
        );
        return command;
    }
}
