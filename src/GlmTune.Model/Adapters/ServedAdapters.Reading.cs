using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

// Adapters before they are added: read from folders, or copied.
internal sealed partial class ServedAdapters
{
    /// <summary>Reads an adapter folder; needs no pause of this model if it is read for another one of the same
    /// architecture.</summary>
    /// <param name="name">Name of the adapter in requests.</param>
    /// <param name="folder">The adapter folder.</param>
    /// <param name="shape">The model, or one like it whose weights need not be in memory. DoRA needs this model's
    /// weights.</param>
    /// <param name="positions">As for <see cref="Load"/>.</param>
    /// <returns>The adapter for <see cref="Add"/>; null: it has to be read for this model.</returns>
    /// <exception cref="InvalidDataException">As for <see cref="Load"/>.</exception>
    public ServedAdapter? TryRead(
        string name,
        string folder,
        DecoderModel shape,
        PrefixPositions positions = PrefixPositions.Auto
    )
    {
        var config = AdapterConfigFile.Read(folder);
        return config.Kind == "LORA" && config.ReadLora().UseDora ? null : Read(name, folder, shape, positions);
    }

    /// <summary>Copies an adapter in memory.</summary>
    /// <param name="name">Name of the adapter in requests.</param>
    /// <param name="lora">The adapter, detached.</param>
    /// <returns>The adapter for <see cref="Add"/>.</returns>
    public ServedAdapter Copy(string name, Lora lora) =>
        new(name, lora.Options.UseDora ? "DoRA" : "LoRA")
        {
            Matrices = new AdapterMatrices(lora.Layers, model.Type, weight => linears[weight].Weight.Device),
        };

    private ServedAdapter Read(string name, string folder, DecoderModel shape, PrefixPositions positions)
    {
        var config = AdapterConfigFile.Read(folder);
        if (config.Kind == "LORA" && config.ReadLora().ModulesToSave is { Count: > 0 } modules)
        {
            throw new InvalidDataException(
                $"{config.Path}: modules_to_save ({string.Join(", ", modules)}) replaces weights of the base "
                    + "model, which other adapters need. Serve this adapter alone, or merge it (glmtune merge)."
            );
        }

        using var scope = NewDisposeScope();
        using var loaded = AdapterFolder.Load(folder, shape, positions: positions);
        loaded.Detach(shape);
        return loaded switch
        {
            Lora lora => Copy(name, lora),
            PrefixTuning prefix => new ServedAdapter(name, "P-Tuning v2")
            {
                VirtualTokens = prefix.VirtualTokens,
                FirstPosition = prefix.FirstPosition,
                Prefixes = Copies(prefix),
            },
            _ => throw new InvalidDataException($"{folder}: adapters of kind {config.Kind} cannot be served."),
        };
    }

    private List<Tensor> Copies(PrefixTuning prefix)
    {
        List<Tensor> copies =
        [
            .. prefix.Prefixes.Select(
                (parameter, layer) => parameter.Value.to_type(model.Type).to(model.Plan.DeviceOf(layer)).clone()
            ),
        ];
        copies.ForEach(copy => copy.DetachFromDisposeScope());
        return copies;
    }
}
