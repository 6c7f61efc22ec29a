using GlmTune.Collectives;
using GlmTune.Data.Templates;
using GlmTune.Evaluation;
using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>The evaluations of a training run: the validation rows' loss and, with <c>predict_with_generate</c>, scored
/// answers.</summary>
public sealed class TrainingEvaluation
{
    private readonly RankedEvaluation run;
    private readonly RunRanks ranks;
    private readonly string folder;
    private readonly Action<string>? note;

    /// <summary>Reads the validation rows (<c>max_eval_samples</c> of them).</summary>
    /// <param name="recipe">How they are read and answered.</param>
    /// <param name="template">The chat format, with the model's tokenizer.</param>
    /// <param name="file">The validation file.</param>
    /// <param name="folder">The run's output folder; evaluations are kept in its <c>eval</c>.</param>
    /// <param name="modelGeneration">The base model's generation_config.json, of which only the token ids count; null
    /// for none.</param>
    /// <param name="ranks">The ranks that share the rows; null: alone.</param>
    /// <param name="note">Gets, on rank 0, which evaluations could not be kept: training is worth more than their
    /// files. Null: then they are errors.</param>
    /// <param name="stop">Ends the reading.</param>
    /// <exception cref="InvalidDataException">Rows have problems, or every prompt is too long.</exception>
    public TrainingEvaluation(
        Recipe recipe,
        Glm4Template template,
        string file,
        string folder,
        GenerationOptions? modelGeneration = null,
        ICollectives? ranks = null,
        Action<string>? note = null,
        CancellationToken stop = default
    )
    {
        this.note = note;
        this.ranks = new RunRanks(ranks ?? new SingleRank());
        Data = EvaluationData.Read(
            file,
            template,
            recipe.Data.ValidationRows,
            recipe.Training.PredictWithGenerate,
            stop
        );
        run = new RankedEvaluation(recipe, template.Tokenizer, Data, modelGeneration, this.ranks);
        this.folder = folder;
    }

    /// <summary>The rows, and notes about them.</summary>
    public EvaluationData Data { get; }

    /// <inheritdoc cref="EvaluationRun.CheckRoom"/>
    public void CheckRoom(int maxPositions) => run.CheckRoom(maxPositions);

    /// <summary>Evaluates, and on rank 0 writes <c>eval/step-N.metrics.json</c> and, where answers are generated,
    /// <c>eval/step-N.predictions.jsonl</c>.</summary>
    /// <param name="model">As it is after the step; not changed.</param>
    /// <param name="step">Steps done so far.</param>
    /// <param name="progress">Gets how far it is.</param>
    /// <param name="gathers">Whether each pass of the model gathers weights over all ranks.</param>
    /// <param name="stop">Ends it between two passes, on all ranks; then nothing is written.</param>
    /// <exception cref="InvalidDataException">Tokenizer and model don't belong together, or prompts leave no room for
    /// an answer.</exception>
    public EvaluationReport Run(
        ICausalLm model,
        long step,
        Action<EvaluationProgress>? progress = null,
        bool gathers = false,
        CancellationToken stop = default
    )
    {
        var report = run.Run(model, gathers, progress, stop);
        ranks.Together(() =>
        {
            if (ranks.IsFirst)
            {
                Keep(report, step);
            }
        });

        return report;
    }

    private void Keep(EvaluationReport report, long step)
    {
        try
        {
            EvaluationFiles.OfStep(folder, step).Write(report);
        }
        catch (Exception error) when (note is not null && (error is IOException or UnauthorizedAccessException))
        {
            note($"{folder}: training continues, but the evaluation of step {step} is not saved: {error.Message}");
        }
    }
}
