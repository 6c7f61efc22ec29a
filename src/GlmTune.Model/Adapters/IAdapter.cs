using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>A trainable adapter on a frozen model: LoRA, DoRA or a prefix.</summary>
/// <remarks>Owns its parameters, and must live as long as the model uses it.</remarks>
internal interface IAdapter : IDisposable
{
    /// <summary>The parameters that are trained and saved, in the order of the forward pass.</summary>
    IEnumerable<Parameter> Parameters { get; }

    /// <summary>Detaches it from its model.</summary>
    /// <param name="model">The model that it is attached to.</param>
    void Detach(DecoderModel model);

    /// <summary>Saves it in PEFT's format: configuration and tensors.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="baseModel">Path or Hub id of the base model.</param>
    /// <param name="values">Returns a parameter's values, such as the optimizer's float32 copy; null: the adapter's own
    /// values.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="baseFingerprint">Fingerprint of the base model to record; null: none.</param>
    void Save(
        string folder,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32,
        string? baseFingerprint = null
    );
}
