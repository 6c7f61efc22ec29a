using static TorchSharp.torch;

namespace GlmTune.Training.Recording;

/// <summary>Runs work, then records it; gives what replays it, or null where that cannot be.</summary>
/// <param name="work">Called once to run and, on a GPU, once more to be recorded.</param>
/// <param name="recovery">Called where recording broke off.</param>
/// <param name="tokens">Tokens of the pass that it is; 0: none.</param>
internal delegate Action? RunAndRecord(Action work, Action recovery, int tokens);

/// <summary>Forward and backward of small passes, recorded once for each shape: one launch instead of
/// thousands.</summary>
/// <remarks>
/// A small pass takes the GPU less time than its launches take the host. A shape is recorded when it comes for the
/// second time. Not thread-safe. </remarks>
/// <param name="runner">Runs the model.</param>
/// <param name="record">Records.</param>
/// <param name="mostTokens">Tokens of the largest pass that is recorded.</param>
internal sealed class RecordedPasses(LayerRunner runner, RunAndRecord record, int mostTokens) : IDisposable
{
    private readonly Dictionary<PassShape, Recording?> recordings = [];
    private bool refused;

    /// <summary>Shapes that are recorded.</summary>
    public int Count => recordings.Values.Count(recording => recording?.Replay is not null);

    /// <summary>Adds a pass's gradients to the shards, as <see cref="LayerRunner.ForwardBackward"/> does.</summary>
    /// <returns>Its summed loss; null where the pass is to be run in the ordinary way.</returns>
    public Tensor? TryRun(TrainingPass pass, double gradientScale, long? dropoutSeed)
    {
        if (refused || pass.Exchange is not null || pass.Targets.Count == 0)
        {
            return null;
        }

        var shape = PassShape.Of(pass, dropoutSeed is not null, runner.Recomputed, runner.SelectivelyRecomputed);
        if (shape.Tokens > mostTokens || recordings.TryAdd(shape, null))
        {
            return null;
        }

        var recording = recordings[shape] ??= new Recording(new PassInputs(runner.Model, shape), NewLoss());
        recording.Inputs.Fill(pass, gradientScale, dropoutSeed);
        if (recording.Replay is { } replay)
        {
            replay();
        }
        else
        {
            recording.Replay = record(() => Work(recording), ForgetGradients, shape.Tokens);
            refused = recording.Replay is null;
        }

        return recording.Loss.clone();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var recording in recordings.Values)
        {
            recording?.Inputs.Dispose();
            recording?.Loss.Dispose();
        }

        recordings.Clear();
    }

    private void Work(Recording recording)
    {
        using var scope = NewDisposeScope();
        using var context = recording.Inputs.Context();
        recording.Loss.copy_(
            runner.Run(recording.Inputs.TokenIds, recording.Inputs.Pass, context, recording.Inputs.GradientScale)
        );
    }

    // What a broken recording collected was never computed.
    private void ForgetGradients()
    {
        foreach (var parameter in runner.Model.Parameters)
        {
            parameter.ClearGradient();
        }
    }

    private Tensor NewLoss()
    {
        var type = runner.Model.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        return zeros(1, type, runner.Model.Device).squeeze().DetachFromDisposeScope();
    }

    private sealed class Recording(PassInputs inputs, Tensor loss)
    {
        public PassInputs Inputs => inputs;

        public Tensor Loss => loss;

        public Action? Replay { get; set; }
    }
}
