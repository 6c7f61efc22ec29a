using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;

namespace GlmTune.Model;

/// <summary>A range of rows of a parameter under the name that a checkpoint layout gives it.</summary>
/// <param name="Name">In the checkpoint.</param>
/// <param name="Parameter">Which parameter.</param>
/// <param name="FirstRow">First row of the range.</param>
/// <param name="Rows">Number of rows.</param>
public sealed record WeightSlice(string Name, Parameter Parameter, long FirstRow, long Rows)
{
    /// <summary>Sizes of the slice.</summary>
    public long[] Shape => [Rows, .. Parameter.Shape[1..]];
}

/// <summary>A linear layer under the name that a checkpoint layout gives it: all its output rows, or a range of
/// them.</summary>
/// <param name="Name">In the checkpoint, without ".weight".</param>
/// <param name="Linear">The layer.</param>
/// <param name="FirstRow">First output row.</param>
/// <param name="Rows">Number of output rows.</param>
/// <param name="IsHead">Whether it is the output head's projection, which "all-linear" leaves out.</param>
public sealed record LinearSlice(string Name, Linear Linear, long FirstRow, long Rows, bool IsHead);

/// <summary>What checkpoint layouts call the weights of a family's models.</summary>
public abstract class WeightNames
{
    /// <summary>How <paramref name="layout"/> stores one base parameter.</summary>
    public abstract IReadOnlyList<WeightSlice> Slices(Parameter parameter, CheckpointLayout layout);

    /// <summary>Ways in which published files store one base parameter: the layouts', and the mixes that other tools
    /// write. The most likely one first.</summary>
    public abstract IEnumerable<IReadOnlyList<WeightSlice>> KnownSlices(Parameter parameter);

    /// <summary>Whether published files may hold a tensor that no parameter is read from.</summary>
    /// <param name="name">In the checkpoint.</param>
    public abstract bool IsSpare(string name);

    /// <summary>All linear layers of a model under the names of <paramref name="layout"/>, layer by layer; the output
    /// projection last.</summary>
    public abstract IEnumerable<LinearSlice> Linears(DecoderModel model, CheckpointLayout layout);

    /// <summary>The linear layers that PEFT puts LoRA on when none are named.</summary>
    public abstract LoraTargets DefaultTargets(CheckpointLayout layout);

    /// <summary>All weights of a model as <paramref name="layout"/> stores them, in the order of the forward
    /// pass.</summary>
    public IEnumerable<WeightSlice> Weights(DecoderModel model, CheckpointLayout layout) =>
        model.BaseParameters.SelectMany(parameter => Slices(parameter, layout));
}
