using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Capture;

/// <summary>Everything that changes between passes of the same shape, at fixed addresses in device memory.</summary>
internal sealed class PassInputs : IDisposable
{
    private const int Ids = 0,
        Rows = 1,
        Targets = 2,
        Positions = 3,
        Starts = 4,
        KeyStarts = 5,
        Keys = 6,
        Scale = 7;

    private readonly DecoderModel model;
    private readonly PassShape shape;
    private readonly int virtualTokens;
    private readonly StagedTensors staged;
    private readonly Tensor cosines;
    private readonly Tensor sines;

    public PassInputs(DecoderModel model, PassShape shape)
    {
        (this.model, this.shape, virtualTokens) = (model, shape, model.VirtualTokens);
        staged = new StagedTensors(
            model.Device,
            (ScalarType.Int64, shape.Tokens),
            (ScalarType.Int64, shape.Targets),
            (ScalarType.Int64, shape.Targets),
            (ScalarType.Int64, shape.Tokens),
            (ScalarType.Int32, shape.Sequences + 1),
            (ScalarType.Int32, shape.Sequences + 1),
            (ScalarType.Int32, model.DropoutSites(shape.Targets)),
            (model.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32, 1)
        );
        var (cosine, sine) = model.Angles(shape.Tokens);
        (cosines, sines) = (cosine.DetachFromDisposeScope(), sine.DetachFromDisposeScope());
        var layout = SequenceLayout.OfStored(
            shape.Tokens,
            shape.Sequences,
            staged[Starts],
            staged[KeyStarts],
            virtualTokens
        );
        Pass = new TrainingPass(new int[shape.Tokens], layout, new SupervisedTargets(staged[Rows], staged[Targets]));
    }

    /// <summary>The pass, padded to its shape.</summary>
    public TrainingPass Pass { get; }

    /// <summary>int64 [N].</summary>
    public Tensor TokenIds => staged[Ids];

    /// <summary>Factor for the gradient of the loss.</summary>
    public LossScale GradientScale => new(0, staged[Scale]);

    /// <summary>What the layers of the pass share; queues the lookup of the angles. The caller disposes it.</summary>
    public LayerContext Context() =>
        new(cosines.index_select(0, staged[Positions]), sines.index_select(0, staged[Positions]))
        {
            Kernels = model.Kernels,
            Sequences = Pass.Sequences,
            StoredMaskKeys = shape.Drops ? staged[Keys] : null,
        };

    /// <summary>Queues the copy of a pass that fits the shape.</summary>
    public void Fill(TrainingPass pass, double gradientScale, long? dropoutSeed)
    {
        staged.Begin();
        var ids = staged.Host<long>(Ids);
        ids.Clear();
        for (var i = 0; i < pass.TokenIds.Length; i++)
        {
            ids[i] = pass.TokenIds[i];
        }

        FillSequences(pass.Sequences);
        FillTargets(pass.Targets);
        var keys = staged.Host<int>(Keys);
        for (var site = 0; site < keys.Length; site++)
        {
            keys[site] = dropoutSeed is { } seed ? unchecked((int)DropoutMask.Key(LayerContext.SeedOf(seed, site))) : 0;
        }

        if (staged[Scale].dtype == ScalarType.Float64)
        {
            staged.Host<double>(Scale)[0] = gradientScale;
        }
        else
        {
            staged.Host<float>(Scale)[0] = (float)gradientScale;
        }

        staged.Send();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Pass.Dispose();
        cosines.Dispose();
        sines.Dispose();
        staged.Dispose();
    }

    // The remaining tokens form one more sequence, and further sequences are empty.
    private void FillSequences(SequenceLayout sequences)
    {
        var starts = staged.Host<int>(Starts);
        var keyStarts = staged.Host<int>(KeyStarts);
        var positions = staged.Host<long>(Positions);
        for (var i = 0; i < starts.Length; i++)
        {
            starts[i] = i <= sequences.Count ? sequences.Starts[i] : shape.Tokens;
            keyStarts[i] = starts[i] + (i * virtualTokens);
        }

        for (var i = 0; i + 1 < starts.Length; i++)
        {
            for (var t = starts[i]; t < starts[i + 1]; t++)
            {
                positions[t] = t - starts[i];
            }
        }

        Pass.Sequences.Update(starts);
    }

    // Rows stay distinct and ascending: padding rows without a target are taken from the end, where the padding tokens
    // are.
    private void FillTargets(SupervisedTargets given)
    {
        Span<int> next = new int[shape.Tokens];
        next.Fill(-1);
        for (var i = 0; i < given.Count; i++)
        {
            next[given.HostRows[i]] = given.HostTargets[i];
        }

        var rows = staged.Host<long>(Rows);
        var targets = staged.Host<long>(Targets);
        var (at, idle) = (shape.Targets - 1, shape.Targets - given.Count);
        for (var row = shape.Tokens - 1; row >= 0; row--)
        {
            if (next[row] < 0 && idle-- <= 0)
            {
                continue;
            }

            (rows[at], targets[at]) = (row, next[row]);
            at--;
        }
    }
}
