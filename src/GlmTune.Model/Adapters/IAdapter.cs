using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Something trained that sits on a frozen model: LoRA, DoRA or a prefix.</summary>
/// <remarks>It must outlive its use by the model, and owns its parameters.</remarks>
public interface IAdapter : IDisposable
{
    /// <summary>What is trained and saved, in the order of the forward pass.</summary>
    IEnumerable<Parameter> Parameters { get; }

    /// <summary>Takes it off the model that it sits on.</summary>
    /// <param name="model">That model.</param>
    void Detach(DecoderModel model);

    /// <summary>Writes it as PEFT does: configuration and tensors.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="baseModel">Path or hub id of the base model.</param>
    /// <param name="values">Where a parameter's values are, such as the optimizer's float32 copy; null: the adapter's
    /// own.</param>
    /// <param name="type">Type to store.</param>
    void Save(
        string folder,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32
    );
}
