using GlmTune.Evaluation;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Hears what a fine-tuning run does; the command line shows it, tests record it.</summary>
public interface IFineTuneReporter
{
    /// <summary>Something somebody should know: a key without effect, rows that were cut, where the run
    /// computes.</summary>
    void Note(string text);

    /// <summary>The run is about to begin, or to go on.</summary>
    void Started(FineTuneStart start);

    /// <summary>A step is done.</summary>
    void Stepped(StepReport report);

    /// <summary>A log line, with the names that Hugging Face's trainer gives its values.</summary>
    void Logged(long atStep, IReadOnlyDictionary<string, double> values);

    /// <summary>An evaluation is done.</summary>
    void Evaluated(long atStep, IReadOnlyDictionary<string, double> values);

    /// <summary>How far an evaluation is.</summary>
    void Evaluating(EvaluationProgress progress) { }

    /// <summary>A few answers of an evaluation, to look at.</summary>
    void Answered(long atStep, IReadOnlyList<EvaluatedAnswer> samples) { }

    /// <summary>The test file was answered after the last step.</summary>
    void Tested(IReadOnlyDictionary<string, double> values) { }

    /// <summary>A checkpoint is whole on disk.</summary>
    void Saved(string folder);
}

/// <summary>What a run is about to do.</summary>
/// <param name="Examples">Rows to train on.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
/// <param name="DoneSteps">Steps done before, when it is resumed.</param>
/// <param name="MicroBatchSize">Rows of a micro-batch.</param>
/// <param name="AccumulationSteps">Micro-batches of a step.</param>
/// <param name="WorldSize">Ranks.</param>
/// <param name="TrainedParameters">Parameters that are trained.</param>
/// <param name="AllParameters">Parameters in all.</param>
/// <param name="Device">Where it computes.</param>
/// <param name="Type">In which type.</param>
public sealed record FineTuneStart(
    int Examples,
    long TotalSteps,
    long DoneSteps,
    int MicroBatchSize,
    int AccumulationSteps,
    int WorldSize,
    long TrainedParameters,
    long AllParameters,
    string Device,
    string Type
)
{
    /// <summary>Every option that holds, those of a DeepSpeed file included; null when whoever starts the run does not
    /// say.</summary>
    public Recipe? Recipe { get; init; }
}

/// <summary>How a run ended.</summary>
/// <param name="Steps">Finished steps, those before a resume included.</param>
/// <param name="Loss">Mean loss over the steps of this run; NaN: it made none.</param>
/// <param name="Runtime">Time this run took.</param>
/// <param name="Checkpoint">The last checkpoint; null when nothing was saved.</param>
/// <param name="Stopped">Whether it was asked to stop early.</param>
public sealed record FineTuneResult(long Steps, double Loss, TimeSpan Runtime, string? Checkpoint, bool Stopped);
