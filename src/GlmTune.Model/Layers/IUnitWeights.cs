namespace GlmTune.Model.Layers;

/// <summary>Brings the weights of a model's units into memory while they run.</summary>
internal interface IUnitWeights
{
    /// <summary>Brings a unit's weights into memory, until <see cref="Reshard"/>.</summary>
    void Unshard(Layer layer);

    /// <summary>Releases a unit's weights, if they are sharded.</summary>
    void Reshard(Layer layer);
}
