namespace GlmTune.Model.Layers;

/// <summary>Has the weights of a model's units in memory while they run.</summary>
public interface IUnitWeights
{
    /// <summary>Brings a unit's weights into memory, until <see cref="Reshard"/>.</summary>
    void Unshard(Layer layer);

    /// <summary>Lets a unit's weights go, if they are sharded.</summary>
    void Reshard(Layer layer);
}
