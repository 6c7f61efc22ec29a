using GlmTune.Evaluation;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Receives the events of a fine-tuning run; the command line displays them, tests record them.</summary>
/// <remarks>Implement the events of interest; the others do nothing. All are called on the thread that trains, on rank
/// 0 only. An exception ends the run.</remarks>
public interface IFineTuneReporter
{
    /// <summary>A note for the user: a key without effect, truncated rows, the device in use.</summary>
    void Note(string text) { }

    /// <summary>The run is about to start or resume.</summary>
    void Started(FineTuneStart start) { }

    /// <summary>A step has finished.</summary>
    void Stepped(StepReport report) { }

    /// <summary>The run has gone back to a checkpoint; the steps after it are made again.</summary>
    void Rewound(long atStep) { }

    /// <summary>A log entry, with the names that Hugging Face's trainer uses.</summary>
    void Logged(long atStep, IReadOnlyDictionary<string, double> values) { }

    /// <summary>An evaluation has finished.</summary>
    void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) { }

    /// <summary>Progress of an evaluation.</summary>
    void Evaluating(EvaluationProgress progress) { }

    /// <summary>Some answers of an evaluation, as samples.</summary>
    void Answered(long atStep, IReadOnlyList<EvaluatedAnswer> samples) { }

    /// <summary>The test file has been scored after the last step.</summary>
    void Tested(IReadOnlyDictionary<string, double> values) { }

    /// <summary>A checkpoint is complete on disk.</summary>
    void Saved(string folder) { }
}

/// <summary>Description of a run that is about to start.</summary>
/// <param name="Examples">Number of training rows.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
/// <param name="DoneSteps">Steps already done if the run is resumed.</param>
/// <param name="MicroBatchSize">Rows per micro-batch.</param>
/// <param name="AccumulationSteps">Micro-batches per step.</param>
/// <param name="WorldSize">Number of ranks.</param>
/// <param name="TrainedParameters">Number of trainable parameters.</param>
/// <param name="AllParameters">Total number of parameters.</param>
/// <param name="Device">Device that it computes on.</param>
/// <param name="Type">Type that it computes in.</param>
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
    /// <summary>Every option in effect, including those of a DeepSpeed file; null if the caller does not provide
    /// them.</summary>
    public Recipe? Recipe { get; init; }

    /// <summary>Card, type and libtorch, as <see cref="ComputeDevice.Describe"/> words them; null if the caller does
    /// not provide them.</summary>
    public string? Computing { get; init; }
}

/// <summary>Result of a run.</summary>
/// <param name="Steps">Number of finished steps, including those before a resume.</param>
/// <param name="Loss">Mean loss over the steps of this run; NaN if there were none.</param>
/// <param name="Runtime">Duration of this run.</param>
/// <param name="Checkpoint">Path of the last checkpoint; null if nothing was saved.</param>
/// <param name="Stopped">Whether it was stopped early on request.</param>
public sealed record FineTuneResult(long Steps, double Loss, TimeSpan Runtime, string? Checkpoint, bool Stopped);
