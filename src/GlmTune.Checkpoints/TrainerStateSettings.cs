namespace GlmTune.Checkpoints;

/// <summary>The settings of a run that are repeated in <c>trainer_state.json</c>.</summary>
/// <param name="MaxSteps">Steps of the whole run.</param>
/// <param name="Epochs">Passes over the data, rounded up.</param>
/// <param name="LoggingSteps">Steps between log entries; below 1, a fraction of the run.</param>
/// <param name="EvaluationSteps">Steps between evaluations; below 1, a fraction of the run.</param>
/// <param name="SaveSteps">Steps between checkpoints; below 1, a fraction of the run.</param>
/// <param name="MicroBatchSize">Rows per micro-batch on one device.</param>
internal sealed record TrainerStateSettings(
    long MaxSteps,
    int Epochs,
    double LoggingSteps,
    double EvaluationSteps,
    double SaveSteps,
    int MicroBatchSize
);
