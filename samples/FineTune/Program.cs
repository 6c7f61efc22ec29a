// Fine-tunes a model on a data folder, and asks the result.
using GlmTune.Model.Adapters;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using Microsoft.Extensions.AI;

var recipe = new Recipe
{
    Lora = new LoraOptions { Rank = 8, Alpha = 32 },
    Optimizer = new OptimizerOptions { LearningRate = 2e-3 },
    Training = new TrainingOptions
    {
        OutputFolder = "output/fine-tune",
        MaxSteps = 10,
        MicroBatchSize = 2,
    },
};
var result = await FineTune.RunAsync(
    recipe,
    "data/ads",
    "models/glm-nano",
    reporter: new TextReporter(Console.Out, Console.Error)
);
Console.WriteLine($"{result.Steps} steps, mean loss {result.Loss:F2}: {result.Checkpoint}");

using var chat = TunedChat.Load(result.Checkpoint!);
Console.WriteLine(await chat.Client.GetResponseAsync("类型#裙*颜色#红色", new ChatOptions { Temperature = 0 }));
