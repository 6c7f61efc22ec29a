using GlmTune.Collectives;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Evaluating;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>Everything that a run reads before the weights of its model, with all problems in one report.</summary>
/// <param name="ModelName">The model as the user named it.</param>
/// <param name="ModelFolder">Path of the model.</param>
/// <param name="Config">Configuration of the model.</param>
/// <param name="Plan">The recipe combined with its DeepSpeed file.</param>
/// <param name="Run">Id of this run: eight hexadecimal digits, new with every start.</param>
/// <param name="Output">The output folder, which is locked for this run.</param>
/// <param name="Data">The training rows.</param>
/// <param name="Evaluation">The validation and test rows.</param>
internal sealed record RunInputs(
    string ModelName,
    string ModelFolder,
    ModelConfig Config,
    DeepSpeedPlan Plan,
    string Run,
    OutputFolder Output,
    RunData Data,
    EvaluationSchedule Evaluation
)
{
    /// <summary>Reads the inputs on every rank; rank 0 also checks and locks the output folder.</summary>
    /// <param name="given">The recipe.</param>
    /// <param name="dataFolder">Folder with the files that the recipe names.</param>
    /// <param name="model">Model folder, or Hub id of a downloaded model.</param>
    /// <param name="resume">What the run resumes from; null or no: nothing.</param>
    /// <param name="ranks">The ranks.</param>
    /// <param name="reporter">Receives the events of later evaluations.</param>
    /// <param name="owned">Receives the lock of the output folder.</param>
    /// <param name="stop">Cancels reading rows.</param>
    /// <exception cref="InvalidDataException">There are problems; the message lists them all.</exception>
    /// <exception cref="OperationCanceledException">A rank was asked to stop.</exception>
    public static RunInputs Read(
        Recipe given,
        string dataFolder,
        string model,
        string? resume,
        RunRanks ranks,
        RankReporter reporter,
        RankResources owned,
        CancellationToken stop
    )
    {
        var report = new ProblemReport();
        var folder = report.Try(() => ModelReference.Resolve(model));
        var readsWeights =
            given.Lora is not null
            || given.Prefix is not null
            || string.IsNullOrWhiteSpace(resume)
            || resume.Trim().Equals("no", StringComparison.OrdinalIgnoreCase);
        var config = folder is null ? null : report.Try(() => ModelConfig.Read(folder));
        if (config is not null && readsWeights)
        {
            report.Try(() => GlmTune.Model.ModelFolder.Check(folder!));
        }

        var plan = config is null ? null : report.Try(() => PlanFor(given, config, ranks.Count));
        var recipe = plan?.Recipe ?? given;
        var output = new OutputFolder(recipe.Training, resume);
        var run = ranks.FromFirst(() => [Guid.NewGuid().ToString("N")[..8]])[0];
        report.Add(
            ranks.FromFirst(() =>
            {
                var bytes = plan is null ? 0 : OutputFolder.CheckpointBytes(recipe, config!, plan.Sharding);
                var (taken, problems) = output.Claim(run, bytes, reporter.Note);
                if (taken is not null)
                {
                    owned.Own(taken);
                }

                return problems;
            })
        );
        RunData? data = null;
        EvaluationSchedule? evaluation = null;
        ranks.RunOnAllOrFail(
            () =>
            {
                ReadRows();
                report.Throw();
                return true;
            },
            stop
        );
        return new RunInputs(model, folder!, config!, plan!, run, output, data!, evaluation!);

        void ReadRows()
        {
            var files =
                recipe.Training.EvaluationStrategy == IntervalStrategy.No
                    ? recipe.Data with
                    {
                        ValidationFile = null,
                    }
                    : recipe.Data;
            var template = folder is null
                ? null
                : report.Try(() => new Glm4Template(TokenizerFile.Read(folder), recipe.Data.Template));
            if (template is null)
            {
                report.Try(() => report.Add(DataFolder.FindProblems(files, dataFolder)));
                return;
            }

            report.Add(DataFolder.FindMissing(files, dataFolder));
            if (File.Exists(Path.Combine(dataFolder, recipe.Data.TrainFile)))
            {
                data = report.Try(() => RunData.Read(recipe, template, dataFolder, folder!, stop));
            }

            evaluation = report.Try(() =>
                new EvaluationSchedule(recipe, template, dataFolder, folder!, ranks, reporter, report, stop)
            );
            if (config is not null)
            {
                report.Try(() => evaluation?.CheckRoom(config.MaxPositions));
            }
        }
    }

    private static DeepSpeedPlan PlanFor(Recipe recipe, ModelConfig config, int ranks)
    {
        RecipeChecks.CheckRanks(recipe, config, ranks);
        var plan = recipe.Plan(config.HiddenSize, ranks / recipe.Training.SequenceParallelSize);
        FrozenBase.Check(plan.Recipe, plan.Sharding.Stage, config);
        return plan;
    }
}
