using GlmTune.Kernels.Cuda;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Recording;

/// <summary>Recordings of small passes, and of every step's update, whose hundreds of kernels take the GPU less time
/// than the host: where there is a GPU to itself, with memory to spare. Not thread-safe.</summary>
/// <remarks>What it may not do changes nothing but time: such passes, and all after one that could not be recorded, run
/// in the ordinary way.</remarks>
public sealed class StepRecorder : IDisposable
{
    /// <summary>Tokens of the largest pass that is recorded: above, the GPU has more to do than the host.</summary>
    public const int MaxTokens = 512;

    private const int FirstReserve = 128;

    // Norms of shards, and what is converted on the way back to the layers.
    private const long UpdateBytes = 16 << 20;

    private readonly LayerRunner runner;
    private readonly GraphRecorder? recorder;
    private readonly List<CudaGraph> graphs = [];
    private int reservedFor;
    private bool reservedForUpdates;

    private StepRecorder(
        LayerRunner runner,
        ISharding sharding,
        OptimizerOptions optimizer,
        GraphRecorder? recorder,
        int mostTokens
    )
    {
        (this.runner, this.recorder) = (runner, recorder);
        RunAndRecord record = recorder is null ? RunEachTime : Record;
        Passes = new RecordedPasses(runner, record, mostTokens);
        Update = new OptimizerStep(sharding, runner.Model.Kernels, optimizer, record);
    }

    /// <summary>Recorded passes.</summary>
    internal RecordedPasses Passes { get; }

    /// <summary>The recorded update.</summary>
    internal OptimizerStep Update { get; }

    /// <summary>Why recording was given up; null: it was not.</summary>
    public string? Refusal => recorder?.Refusal;

    /// <summary>Graphs recorded so far.</summary>
    public int Count => graphs.Count;

    /// <summary>A recorder of small steps; null where they cannot be recorded.</summary>
    /// <param name="runner">Runs the model.</param>
    /// <param name="sharding">Who holds what; other ranks cannot be waited for inside a recording.</param>
    /// <param name="optimizer">AdamW's numbers.</param>
    public static StepRecorder? TryCreate(LayerRunner runner, ISharding sharding, OptimizerOptions optimizer)
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

        return GraphRecorder.TryCreate(model.Device) is { } recorder
            ? new StepRecorder(runner, sharding, optimizer, recorder, MaxTokens)
            : null;
    }

    /// <summary>The same on any device with nothing recorded: the work runs each time, on inputs that were filled up.
    /// For tests.</summary>
    internal static StepRecorder WithoutGraphs(LayerRunner runner, ISharding sharding, OptimizerOptions optimizer) =>
        new(runner, sharding, optimizer, null, int.MaxValue);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (recorder is not null)
        {
            cuda.synchronize();
        }

        graphs.ForEach(graph => graph.Dispose());
        Passes.Dispose();
        Update.Dispose();
        recorder?.Dispose();
    }

    /// <summary>Bytes that recordings of so many tokens need: kept layers, one layer's forward and backward at a time
    /// with the gradients of what is trained in it, the output head, and the libraries' workspaces.</summary>
    internal static long BytesFor(LayerRunner runner, int tokens)
    {
        var (model, config) = (runner.Model, runner.Model.Config);
        var size = Parameter.BytesOf(model.Type);
        // What is not reserved may be taken back by the allocator while recordings still write to it. An embedding's
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
                return recorder!.TryReserve(UpdateBytes);
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
        return recorder!.TryReserve(BytesFor(runner, wanted));
    }

    private Action? Record(Action work, Action recovery, int tokens)
    {
        if (!TryReserve(tokens))
        {
            work();
            return null;
        }

        if (recorder!.RunAndRecord(work, recovery) is not { } graph)
        {
            return null;
        }

        graphs.Add(graph);
        return graph.Replay;
    }
}
