// Trains on conversations that the program makes, such as rows of a database.
using GlmTune.Data.Conversations;
using GlmTune.Model.Adapters;
using GlmTune.Recipes;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Optimization;

(string Product, string Text)[] products =
[
    ("类型#裙*颜色#红色", "这条红色的裙子很好看。"),
    ("类型#裤*材质#棉", "这条裤子是棉的。"),
];

Conversation Row((string Product, string Text) product) =>
    new([new Message(Role.User, product.Product), new Message(Role.Assistant, product.Text)]);

var recipe = new Recipe
{
    Lora = new LoraOptions { Rank = 8, Alpha = 32 },
    Optimizer = new OptimizerOptions { LearningRate = 2e-3 },
    Training = new TrainingOptions
    {
        OutputFolder = "output/own-data",
        MaxSteps = 20,
        MicroBatchSize = 2,
    },
};
var result = await FineTune.RunAsync(
    recipe,
    new ConversationSet { Train = [.. products.Select(Row)] },
    "models/glm-nano"
);
Console.WriteLine($"mean loss {result.Loss:F2}");
Console.WriteLine(File.ReadAllText("output/own-data/data/train.jsonl"));
