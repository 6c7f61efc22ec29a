using GlmTune.Checkpoints;
using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;
using GlmTune.Evaluation;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>Decides when a run evaluates, and what follows from it: the best step, early stopping, and the scores of
/// the test file.</summary>
internal sealed class EvaluationSchedule
{
    private readonly Recipe recipe;
    private readonly IFineTuneReporter reporter;
    private readonly RankedEvaluation? validation;
    private readonly RankedEvaluation? test;

    /// <summary>Reads validation and test rows, if the recipe has them.</summary>
    /// <param name="recipe">The recipe, which names the files.</param>
    /// <param name="template">The chat template, with the model's tokenizer.</param>
    /// <param name="dataFolder">Folder with the files.</param>
    /// <param name="modelFolder">Model folder, with a generation_config.json if there is one.</param>
    /// <param name="ranks">The ranks that share the rows.</param>
    /// <param name="reporter">Receives the results.</param>
    /// <param name="report">Collects the problems of each file. A missing file is skipped.</param>
    /// <param name="stop">Cancels reading.</param>
    public EvaluationSchedule(
        Recipe recipe,
        Glm4Template template,
        string dataFolder,
        string modelFolder,
        RunRanks ranks,
        IFineTuneReporter reporter,
        ProblemReport report,
        CancellationToken stop
    )
    {
        (this.recipe, this.reporter) = (recipe, reporter);
        var generation = report.Try(() => Inference.GenerationConfigFile.ReadFolder(modelFolder));
        validation =
            recipe.Data.ValidationFile is { } file && recipe.Training.EvaluationStrategy != IntervalStrategy.No
                ? Read(file, recipe.Data.ValidationRows)
                : null;
        test = recipe.Data.TestFile is { } last ? Read(last, recipe.Data.TestRows) : null;
        Notes = [.. validation?.Data.Notes ?? [], .. test?.Data.Notes ?? []];

        RankedEvaluation? Read(string name, ExampleOptions rows)
        {
            var path = Path.Combine(dataFolder, name);
            return File.Exists(path)
                ? report.Try(() =>
                    new RankedEvaluation(
                        recipe,
                        template.Tokenizer,
                        EvaluationData.Read(
                            path,
                            template,
                            rows,
                            recipe.Training.PredictWithGenerate,
                            recipe.Data.RowCache ? RowCache.OfUser : null,
                            stop
                        ),
                        generation,
                        ranks
                    )
                )
                : null;
        }
    }

    /// <summary>Notes about the rows, for the user.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>Consecutive evaluations without improvement.</summary>
    public int WithoutImprovement { get; set; }

    /// <summary>Whether to evaluate before the first step.</summary>
    public bool IsDueOnStart => validation is not null && recipe.Training.EvaluationOnStart;

    /// <summary>Whether to evaluate after a step, according to the interval.</summary>
    /// <remarks>A delay is counted in steps, or in epochs if the strategy is.</remarks>
    public bool MayFollow(StepReport report) =>
        validation is not null
        && recipe.Training.EvaluationDelay
            <= (recipe.Training.EvaluationStrategy == IntervalStrategy.Epoch ? report.Epoch : report.Step);

    /// <summary>Finds now what would otherwise fail in the first evaluation: prompts that leave no room for an
    /// answer.</summary>
    /// <param name="maxPositions">The model's maximum sequence length, in tokens.</param>
    /// <exception cref="InvalidDataException">There are such prompts.</exception>
    public void CheckRoom(int maxPositions)
    {
        validation?.CheckRoom(maxPositions);
        test?.CheckRoom(maxPositions);
    }

    /// <summary>Evaluates the validation rows; rank 0 writes <c>eval/step-N.metrics.json</c> and, where answers are
    /// generated, <c>eval/step-N.predictions.jsonl</c>.</summary>
    /// <param name="model">The model after the step.</param>
    /// <param name="gathers">Whether each pass gathers weights over all ranks.</param>
    /// <param name="step">Number of finished steps; step 0 cannot become the best.</param>
    /// <param name="history">Receives the values.</param>
    /// <param name="stop">If set, the evaluation is abandoned, and training ends.</param>
    /// <returns>Whether training should stop early.</returns>
    public bool Run(ICausalLm model, bool gathers, long step, TrainerStateFile history, CancellationToken stop)
    {
        try
        {
            var found = validation!.Run(model, gathers, reporter.Evaluating, report => Write(report, step), stop);
            history.Log(step, history.Epoch, found.Metrics);
            reporter.Evaluated(step, found.Metrics);
            reporter.Answered(step, found.Samples());
            return step > 0 && StopsEarly(step, found.Metrics, history);
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    /// <summary>Whether there is a test file.</summary>
    public bool Tests => test is not null;

    /// <summary>Scores the test file, if there is one; the scores are saved beside the checkpoints.</summary>
    /// <param name="model">The model with the weights to test.</param>
    /// <param name="gathers">Whether each pass gathers weights over all ranks.</param>
    /// <param name="weights">Origin of the weights, recorded with the scores.</param>
    /// <param name="stop">If set, the test is abandoned.</param>
    /// <exception cref="OperationCanceledException">A rank was asked to stop; nothing is written.</exception>
    public void Test(ICausalLm model, bool gathers, TestedWeights weights, CancellationToken stop)
    {
        if (test is null)
        {
            return;
        }

        var files = EvaluationFiles.OfSplit(recipe.Training.OutputFolder, "test");
        var found = test.Run(
            model,
            gathers,
            reporter.Evaluating,
            report => files.Write(report, weights.Describe()),
            stop
        );
        reporter.Tested(found.Metrics);
    }

    // A failure to write an evaluation's file must not end the training.
    private void Write(EvaluationReport report, long step)
    {
        var folder = recipe.Training.OutputFolder;
        try
        {
            EvaluationFiles.OfStep(folder, step).Write(report);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            reporter.Note(
                $"{folder}: training continues, but the evaluation of step {step} is not saved: {error.Message}"
            );
        }
    }

    private bool StopsEarly(long step, IReadOnlyDictionary<string, double> values, TrainerStateFile history)
    {
        var metric = WatchedMetric.Of(recipe.Training);
        if (!values.TryGetValue(metric.Key, out var value))
        {
            return false;
        }
        // A non-finite value compares as better than nothing and could never be beaten, so it must not become the best.
        var gain =
            !double.IsFinite(value) ? double.NegativeInfinity
            : history.BestMetric is { } best ? metric.Gain(value, best)
            : double.PositiveInfinity;
        WithoutImprovement = gain > recipe.Training.EarlyStoppingThreshold ? 0 : WithoutImprovement + 1;
        if (gain > 0)
        {
            (history.BestMetric, history.BestStep) = (value, step);
            history.BestCheckpoint = CheckpointFolder.PathOf(recipe.Training.OutputFolder, step);
        }

        return recipe.Training.EarlyStoppingPatience is { } patience && WithoutImprovement >= patience;
    }
}
