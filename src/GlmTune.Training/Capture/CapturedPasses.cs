using static TorchSharp.torch;

namespace GlmTune.Training.Capture;

/// <summary>Runs work, then captures it; gives what replays it, or null where that cannot be.</summary>
/// <param name="work">Called once to run and, on a GPU, once more to be captured.</param>
/// <param name="recovery">Called where capture broke off.</param>
/// <param name="tokens">Tokens of the pass that it is; 0: none.</param>
internal delegate Action? RunAndCapture(Action work, Action recovery, int tokens);

/// <summary>Forward and backward of small passes, captured once for each shape: one launch instead of
/// thousands.</summary>
/// <remarks>
/// A small pass takes the GPU less time than its launches take the host. A shape is captured when it comes for the
/// second time. Not thread-safe. </remarks>
/// <param name="runner">Runs the model.</param>
/// <param name="runAndCapture">Runs work and captures it.</param>
/// <param name="maxTokens">Tokens of the largest pass that is captured.</param>
internal sealed class CapturedPasses(LayerRunner runner, RunAndCapture runAndCapture, int maxTokens) : IDisposable
{
    private readonly Dictionary<PassShape, CapturedPass?> captures = [];
    private bool refused;

    /// <summary>Shapes that are captured.</summary>
    public int Count => captures.Values.Count(capture => capture?.Replay is not null);

    /// <summary>Adds a pass's gradients to the shards, as <see cref="LayerRunner.ForwardBackward"/> does.</summary>
    /// <returns>Its summed loss; null where the pass is to be run in the ordinary way.</returns>
    public Tensor? TryRun(TrainingPass pass, double gradientScale, long? dropoutSeed)
    {
        if (refused || pass.Exchange is not null || pass.Targets.Count == 0)
        {
            return null;
        }

        var shape = PassShape.Of(pass, dropoutSeed is not null, runner.Recomputed, runner.SelectivelyRecomputed);
        if (shape.Tokens > maxTokens || captures.TryAdd(shape, null))
        {
            return null;
        }

        var capture = captures[shape] ??= new CapturedPass(new PassInputs(runner.Model, shape), NewLoss());
        capture.Inputs.Fill(pass, gradientScale, dropoutSeed);
        if (capture.Replay is { } replay)
        {
            replay();
        }
        else
        {
            capture.Replay = runAndCapture(() => Work(capture), ForgetGradients, shape.Tokens);
            refused = capture.Replay is null;
        }

        return capture.Loss.clone();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var capture in captures.Values)
        {
            capture?.Inputs.Dispose();
            capture?.Loss.Dispose();
        }

        captures.Clear();
    }

    private void Work(CapturedPass capture)
    {
        using var scope = NewDisposeScope();
        using var context = capture.Inputs.Context();
        capture.Loss.copy_(
            runner.Run(capture.Inputs.TokenIds, capture.Inputs.Pass, context, capture.Inputs.GradientScale)
        );
    }

    // What a broken capture collected was never computed.
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

    private sealed class CapturedPass(PassInputs inputs, Tensor loss)
    {
        public PassInputs Inputs => inputs;

        public Tensor Loss => loss;

        public Action? Replay { get; set; }
    }
}
