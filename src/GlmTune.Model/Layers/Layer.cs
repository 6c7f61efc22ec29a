namespace GlmTune.Model.Layers;

/// <summary>A unit of the model that is gathered, run, recomputed and reduced as a whole: the token embedding, a
/// decoder layer, the output head.</summary>
internal abstract class Layer : IDisposable
{
    /// <summary>Name of the layer, for messages: "embedding", "layer 17", "output head".</summary>
    public abstract string Name { get; }

    /// <summary>The base weights and the parameters added by adapters.</summary>
    public abstract IEnumerable<Parameter> Parameters { get; }

    /// <summary>The units whose weights a pass through this one needs: itself, and those that it shares a weight
    /// with.</summary>
    public virtual IReadOnlyList<Layer> Uses => [this];

    /// <summary>Whether any of <see cref="Parameters"/> is trained.</summary>
    public bool HasTrainable => Parameters.Any(parameter => parameter.Trainable);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var parameter in Parameters)
        {
            parameter.Dispose();
        }

        GC.SuppressFinalize(this);
    }
}
