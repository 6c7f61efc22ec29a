using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>Conversations from code, as the data of a run.</summary>
public sealed record ConversationSet
{
    private const string Folder = "data";

    /// <summary>Conversations to train on; at least one.</summary>
    public required IReadOnlyCollection<Conversation> Train { get; init; }

    /// <summary>Conversations that are evaluated during training; needed if the recipe evaluates.</summary>
    public IReadOnlyCollection<Conversation> Validation { get; init; } = [];

    /// <summary>Conversations that are scored after training.</summary>
    public IReadOnlyCollection<Conversation> Test { get; init; } = [];

    /// <summary>Writes them to the output folder, one file each.</summary>
    /// <returns>The recipe with the names of the files, and their folder.</returns>
    /// <exception cref="ArgumentException">There are no rows to train on, or the recipe evaluates and there are none
    /// for that.</exception>
    internal (Recipe Recipe, string Folder) Store(Recipe recipe)
    {
        if (Train.Count == 0)
        {
            throw new ArgumentException("There are no conversations to train on; expected at least one.");
        }

        if (Validation.Count == 0 && recipe.Training.EvaluationStrategy != IntervalStrategy.No)
        {
            throw new ArgumentException(
                "The recipe evaluates during training, but there are no validation conversations. Add some, or set "
                    + "training_args.eval_strategy to no."
            );
        }

        var folder = Path.Combine(recipe.Training.OutputFolder, Folder);
        return (
            recipe with
            {
                Data = recipe.Data with
                {
                    TrainFile = Write(folder, "train.jsonl", Train)!,
                    ValidationFile = Write(folder, "validation.jsonl", Validation),
                    TestFile = Write(folder, "test.jsonl", Test),
                },
            },
            folder
        );
    }

    private static string? Write(string folder, string name, IReadOnlyCollection<Conversation> conversations)
    {
        if (conversations.Count == 0)
        {
            return null;
        }

        AtomicFile.Write(
            Path.Combine(folder, name),
            file =>
            {
                foreach (var conversation in conversations)
                {
                    ConversationWriter.WriteLine(file, conversation);
                }
            }
        );
        return name;
    }
}
