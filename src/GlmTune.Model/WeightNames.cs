using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;

namespace GlmTune.Model;

/// <summary>A range of rows of a parameter, under its name in a checkpoint layout.</summary>
/// <param name="Name">Name in the checkpoint.</param>
/// <param name="Parameter">The parameter.</param>
/// <param name="FirstRow">Index of the first row.</param>
/// <param name="Rows">Number of rows.</param>
internal sealed record WeightSlice(string Name, Parameter Parameter, long FirstRow, long Rows)
{
    /// <summary>Sizes of the slice's dimensions.</summary>
    public long[] Shape => [Rows, .. Parameter.Shape[1..]];
}

/// <summary>A linear layer, or a range of its output rows, under its name in a checkpoint layout.</summary>
/// <param name="Name">Name in the checkpoint, without ".weight".</param>
/// <param name="Linear">The layer.</param>
/// <param name="FirstRow">Index of the first output row.</param>
/// <param name="Rows">Number of output rows.</param>
/// <param name="IsHead">Whether it is the output head's projection, which "all-linear" excludes.</param>
internal sealed record LinearSlice(string Name, Linear Linear, long FirstRow, long Rows, bool IsHead);

/// <summary>Names of a family's weights in the checkpoint layouts.</summary>
internal abstract class WeightNames
{
    /// <summary>How a layout stores one base parameter.</summary>
    public abstract IReadOnlyList<WeightSlice> Slices(Parameter parameter, CheckpointLayout layout);

    /// <summary>The ways in which published files store one base parameter: those of the layouts, and mixtures that
    /// other tools write; the most likely first.</summary>
    public abstract IEnumerable<IReadOnlyList<WeightSlice>> KnownSlices(Parameter parameter);

    /// <summary>Whether published files may hold a tensor that no parameter is read from.</summary>
    /// <param name="name">In the checkpoint.</param>
    public abstract bool IsSpare(string name);

    /// <summary>All linear layers of a model under the names of <paramref name="layout"/>, layer by layer; the output
    /// projection last.</summary>
    public abstract IEnumerable<LinearSlice> Linears(DecoderModel model, CheckpointLayout layout);

    /// <summary>The linear layers that PEFT adapts with LoRA if none are named.</summary>
    public abstract LoraTargets DefaultTargets(CheckpointLayout layout);

    /// <summary>All weights of a model as <paramref name="layout"/> stores them, in the order of the forward
    /// pass.</summary>
    public IEnumerable<WeightSlice> Weights(DecoderModel model, CheckpointLayout layout) =>
        model.BaseParameters.SelectMany(parameter => Slices(parameter, layout));
}
