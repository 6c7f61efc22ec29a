using GlmTune.Kernels.Cuda;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Capture;

/// <summary>CUDA graphs of small passes, and of every optimizer update, whose hundreds of kernels take the GPU less
/// time than the host. Used on a single GPU with memory to spare. Not thread-safe.</summary>
/// <remarks>Capture affects only speed: passes that are not captured, and all passes after a failed capture, run
/// normally.</remarks>
internal sealed class StepCapture : IDisposable
{
    /// <summary>Maximum tokens of a pass that is captured: above this, the GPU takes longer than the host.</summary>
    public const int MaxTokens = 512;

    private const int FirstReserve = 128;

    // Norms of shards, and values converted on the way back to the layers.
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
        long seed,
        GraphCapture? graphCapture,
        int maxTokens
    )
    {
        (this.runner, this.graphCapture) = (runner, graphCapture);
        RunAndCapture runAndCapture = graphCapture is null ? RunEachTime : RunAndCapture;
        Passes = new CapturedPasses(runner, runAndCapture, maxTokens);
        Update = new OptimizerStep(sharding, runner.Model.Kernels, optimizer, seed, runAndCapture);
    }

    /// <summary>The captured passes.</summary>
    internal CapturedPasses Passes { get; }

    /// <summary>The captured update.</summary>
    internal OptimizerStep Update { get; }

    /// <summary>Why capture was given up; null if it was not.</summary>
    public string? Refusal => graphCapture?.Refusal;

    /// <summary>Number of graphs captured so far.</summary>
    public int Count => graphs.Count;

    /// <summary>A capture of small steps; null if they cannot be captured.</summary>
    /// <param name="runner">Runs the model.</param>
    /// <param name="sharding">How parameters are distributed over the ranks; a capture cannot wait for other
    /// ranks.</param>
    /// <param name="optimizer">Settings of AdamW.</param>
    /// <param name="seed">Seed of the run.</param>
    public static StepCapture? TryCreate(
        LayerRunner runner,
        ISharding sharding,
        OptimizerOptions optimizer,
        long seed = 0
    )
    {
        var model = runner.Model;
        // Plain attention pads every sequence to the length of the whole pass, which is slow and exceeds the reserved
        // memory.
        if (
            !model.Kernels.CanCapture(model.Type, model.Config.Heads)
            || !sharding.Alone
            || model.PrefixEncoder is not null
            || sharding.Trainable.Count == 0
        )
        {
            return null;
        }

        return GraphCapture.TryCreate(model.Device) is { } graphCapture
            ? new StepCapture(runner, sharding, optimizer, seed, graphCapture, MaxTokens)
            : null;
    }

    /// <summary>The same on any device without capture: the work runs each time, on padded inputs. For tests.</summary>
    internal static StepCapture WithoutGraphs(
        LayerRunner runner,
        ISharding sharding,
        OptimizerOptions optimizer,
        long seed = 0
    ) => new(runner, sharding, optimizer, seed, null, int.MaxValue);

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

    /// <summary>Bytes that captures of this many tokens need: kept layers, one layer's forward and backward at a time
    /// with the gradients of its trained parameters, the output head, and library workspaces.</summary>
    internal static long BytesFor(LayerRunner runner, int tokens)
    {
        var (model, config) = (runner.Model, runner.Model.Config);
        var size = model.Type.ElementSize();
        // The allocator may reclaim memory that is not reserved while captures still write to it. An embedding's
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

    // Doubles each time, so that passes of increasing length reserve little more than the largest needs.
    private bool TryReserve(int tokens)
    {
        if (tokens == 0)
        {
            // An update fits wherever passes fit.
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
