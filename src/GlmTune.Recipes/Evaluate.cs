using GlmTune.Data.Templates;
using GlmTune.Evaluation;
using GlmTune.Inference;

namespace GlmTune.Recipes;

/// <summary>Evaluates a tuned model on a split of its data.</summary>
public static class Evaluate
{
    /// <summary>Reads what one file's evaluation needs.</summary>
    /// <param name="recipe">How rows are read and answers generated.</param>
    /// <param name="template">The chat format, with the model's tokenizer.</param>
    /// <param name="file">The jsonl file.</param>
    /// <param name="rows">Which of its rows, and what is done with bad ones.</param>
    /// <param name="answers">Whether answers are generated, besides the loss.</param>
    /// <param name="modelGeneration">The model's own generation configuration, of which only the token ids count; null for none.</param>
    /// <param name="stop">Ends the reading.</param>
    /// <exception cref="InvalidDataException">Rows have problems, or every prompt is too long.</exception>
    public static EvaluationRun Prepare(
        Recipe recipe, Glm4Template template, string file, ExampleOptions rows, bool answers, GenerationOptions? modelGeneration = null, CancellationToken stop = default)
    {
        var examples = TrainingSet.Read(file, template, rows, stop);
        var prompts = answers ? EvaluationSet.Read(file, template, rows, stop) : null;
        if (prompts is { Count: 0 })
        {
            throw new InvalidDataException($"{file}: nothing to generate, every prompt has {template.Options.MaxInputTokens} tokens or more. Raise max_input_length.");
        }

        var generation = recipe.Generation.Over(modelGeneration?.TokensOnly() ?? new()).Over(GenerationOptions.Defaults);
        return new EvaluationRun(template.Tokenizer, examples, prompts ?? (IReadOnlyList<EvaluationExample>)[])
        {
            Generation = generation with { Seed = generation.Seed ?? recipe.Training.Seed },
            BatchSize = recipe.Training.EvaluationBatchSize,
        };
    }
}
