// Watches a run from code: a callback for events, progress, and an early stop.
using GlmTune.Recipes;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Training;

using var stop = new CancellationTokenSource();
var recipe = RecipeFile.Read(
    "configs/lora-nano.yaml",
    [
        "training_args.max_steps=50",
        "training_args.per_device_train_batch_size=4",
        "training_args.output_dir=output/callback",
    ]
);
var result = await FineTune.RunAsync(
    recipe,
    "data/ads",
    "models/glm-nano",
    reporter: new StopBelow(2.6, stop),
    cancellationToken: stop.Token
);
Console.WriteLine($"stopped early: {result.Stopped}, saved: {result.Checkpoint}");

// Events that are not of interest need no method.
internal sealed class StopBelow(double loss, CancellationTokenSource stop) : IFineTuneReporter
{
    public void Started(FineTuneStart start) =>
        Console.WriteLine($"{start.Examples} rows, {start.TrainedParameters:N0} trainable parameters");

    public void Stepped(StepReport report)
    {
        Console.WriteLine($"step {report.Step}: loss {report.Loss:F2}");
        if (report.Loss < loss)
        {
            stop.Cancel();
        }
    }

    public void Saved(string folder) => Console.WriteLine($"checkpoint: {Path.GetFileName(folder)}");
}
