using GlmTune.Kernels.Cuda;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Capture;

/// <summary>Captures of small passes, and of every step's update, whose hundreds of kernels take the GPU less time
/// than the host: where there is a GPU to itself, with memory to spare. Not thread-safe.</summary>
/// <remarks>What it may not do changes nothing but time: such passes, and all after one that could not be captured, run
/// in the ordinary way.</remarks>
public sealed class StepCapture : IDisposable
{
    /// <summary>Tokens of the largest pass that is captured: above, the GPU has more to do than the host.</summary>
    public const int MaxTokens = 512;

    private const int FirstReserve = 128;

    // Norms of shards, and what is converted on the way back to the layers.
    private const long UpdateBytes = 16 << 20;

    private readonly LayerRunner runner;
    private readonly GraphCapture? graphCapture;
    private readonly List<CudaGraph> graphs = [];
    private int reservedFor;
    private bool reservedForUpdates;

    private StepCapture(
        LayerRunner runner,
        ISharding sharding,
        OptimizerOptions optimizer,
        GraphCapture? graphCapture,
        int maxTokens
    )
    {
        (this.runner, this.graphCapture) = (runner, graphCapture);
        RunAndCapture runAndCapture = graphCapture is null ? RunEachTime : RunAndCapture;
        Passes = new CapturedPasses(runner, runAndCapture, maxTokens);
        Update = new OptimizerStep(sharding, runner.Model.Kernels, optimizer, runAndCapture);
    }

    /// <summary>Captured passes.</summary>
    internal CapturedPasses Passes { get; }

    /// <summary>The captured update.</summary>
    internal OptimizerStep Update { get; }

    /// <summary>Why capture was given up; null: it was not.</summary>
    public string? Refusal => graphCapture?.Refusal;

    /// <summary>Graphs captured so far.</summary>
    public int Count => graphs.Count;

    /// <summary>A capture of small steps; null where they cannot be captured.</summary>
    /// <param name="runner">Runs the model.</param>
    /// <param name="sharding">Who holds what; other ranks cannot be waited for inside a capture.</param>
    /// <param name="optimizer">AdamW's numbers.</param>
    public static StepCapture? TryCreate(LayerRunner runner, ISharding sharding, OptimizerOptions optimizer)
    {
        var model = runner.Model;
        // Attention by plain operators fills every sequence up to the whole pass, which is neither quick nor in the
        // memory that is reserved.
        var byKernels =
            model.Type is ScalarType.BFloat16 or ScalarType.Float16
            && model.Config.HeadDim % 8 == 0
            && model.Config.HeadDim <= 256;
        if (
            model.Kernels is not CudaKernels
            || !byKernels
            || !sharding.Alone
            || model.PrefixEncoder is not null
            || sharding.Trainable.Count == 0
        )
        {
            return null;
        }

        return GraphCapture.TryCreate(model.Device) is { } graphCapture
            ? new StepCapture(runner, sharding, optimizer, graphCapture, MaxTokens)
            : null;
    }

    /// <summary>The same on any device with nothing captured: the work runs each time, on inputs that were filled up.
    /// For tests.</summary>
    internal static StepCapture WithoutGraphs(LayerRunner runner, ISharding sharding, OptimizerOptions optimizer) =>
        new(runner, sharding, optimizer, null, int.MaxValue);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (graphCapture is not null)
        {
            cuda.synchronize();
        }

        graphs.ForEach(graph => graph.Dispose());
        Passes.Dispose();
        Update.Dispose();
        graphCapture?.Dispose();
    }

    /// <summary>Bytes that captures of so many tokens need: kept layers, one layer's forward and backward at a time
    /// with the gradients of what is trained in it, the output head, and the libraries' workspaces.</summary>
    internal static long BytesFor(LayerRunner runner, int tokens)
    {
        var (model, config) = (runner.Model, runner.Model.Config);
        var size = Parameter.BytesOf(model.Type);
        // What is not reserved may be taken back by the allocator while captures still write to it. An embedding's
        // gradient is float32.
        var gradients =
            model.Units.Max(unit =>
                unit.Parameters.Where(parameter => parameter.Trainable).Sum(parameter => parameter.Count)
            ) * 4;
        return (tokens * RecomputePlan.KeptPerToken(model) * config.LayerCount)
            + (2 * gradients)
            + (tokens * size * ((8L * config.FeedForwardSize) + (16L * config.HiddenSize)))
            + (2L * tokens * config.VocabularySize * size)
            + (256L << 20);
    }

    private static Action RunEachTime(Action work, Action recovery, int tokens)
    {
        work();
        return work;
    }

    // For twice as many tokens each time, so that passes of rising lengths reserve little more than the largest needs.
    private bool TryReserve(int tokens)
    {
        if (tokens == 0)
        {
            // An update finds room where passes do.
            if (!reservedForUpdates && reservedFor == 0)
            {
                reservedForUpdates = true;
                return graphCapture!.TryReserve(UpdateBytes);
            }

            return true;
        }

        var wanted = Math.Max(FirstReserve, reservedFor);
        while (wanted < tokens)
        {
            wanted *= 2;
        }

        if (wanted == reservedFor)
        {
            return true;
        }

        reservedFor = wanted;
        return graphCapture!.TryReserve(BytesFor(runner, wanted));
    }

    private Action? RunAndCapture(Action work, Action recovery, int tokens)
    {
        if (!TryReserve(tokens))
        {
            work();
            return null;
        }

        if (graphCapture!.RunAndCapture(work, recovery) is not { } graph)
        {
            return null;
        }

        graphs.Add(graph);
        return graph.Replay;
    }
}
