namespace GlmTune.Checkpoints;

/// <summary>The settings of a run that <c>trainer_state.json</c> repeats.</summary>
/// <param name="MaxSteps">Steps of the whole run.</param>
/// <param name="Epochs">Passes over the data, rounded up.</param>
/// <param name="LoggingSteps">Steps between log lines, or a fraction of the run below 1.</param>
/// <param name="EvaluationSteps">Steps between evaluations, likewise.</param>
/// <param name="SaveSteps">Steps between checkpoints, likewise.</param>
/// <param name="MicroBatchSize">Rows of a micro-batch on one device.</param>
public sealed record TrainerStateSettings(
    long MaxSteps,
    int Epochs,
    double LoggingSteps,
    double EvaluationSteps,
    double SaveSteps,
    int MicroBatchSize
);
