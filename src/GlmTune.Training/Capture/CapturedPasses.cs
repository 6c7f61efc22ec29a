using static TorchSharp.torch;

namespace GlmTune.Training.Capture;

/// <summary>Runs work and captures it; returns a function that replays it, or null if that is not possible.</summary>
/// <param name="work">Called once to run and, on a GPU, once more to be captured.</param>
/// <param name="recovery">Called if the capture fails.</param>
/// <param name="tokens">Number of tokens in the pass; 0: not a pass.</param>
internal delegate Action? RunAndCapture(Action work, Action recovery, int tokens);

/// <summary>Forward and backward of small passes, captured once per shape: one launch instead of thousands.</summary>
/// <remarks>A small pass takes the GPU less time than its launches take the host. A shape is captured when it occurs
/// for the second time. Not thread-safe.</remarks>
/// <param name="runner">Runs the model.</param>
/// <param name="runAndCapture">Runs work and captures it.</param>
/// <param name="maxTokens">Maximum tokens of a pass that is captured.</param>
internal sealed class CapturedPasses(LayerRunner runner, RunAndCapture runAndCapture, int maxTokens) : IDisposable
{
    private readonly Dictionary<PassShape, CapturedPass?> captures = [];
    private bool refused;

    /// <summary>Number of captured shapes.</summary>
    public int Count => captures.Values.Count(capture => capture?.Replay is not null);

    /// <summary>Adds a pass's gradients to the shards, like <see cref="LayerRunner.ForwardBackward"/>.</summary>
    /// <returns>Its summed loss; null if the pass must be run without capture.</returns>
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

    // Gradients collected by a failed capture were never computed.
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
