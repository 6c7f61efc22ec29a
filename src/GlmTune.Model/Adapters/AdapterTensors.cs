using GlmTune.Weights;

namespace GlmTune.Model.Adapters;

/// <summary>The tensors of an adapter's file under PEFT's names, whatever prefixes the names had when they were
/// saved.</summary>
/// <remarks>Wrappers of a model add a part to every name: <c>module.</c> (data parallel training), <c>_orig_mod.</c>
/// (torch.compile), <c>_fsdp_wrapped_module.</c> and <c>_checkpoint_wrapped_module.</c> Names saved without PEFT lack
/// <see cref="Prefix"/>; those of a model that was wrapped twice have it twice. If nothing else differs, the meaning is
/// unambiguous.</remarks>
internal sealed class AdapterTensors : IDisposable
{
    /// <summary>PEFT's prefix of module names.</summary>
    public const string Prefix = "base_model.model.";

    private static readonly string[] Wrappers =
    [
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
    ];

    // Where the name of a layer begins, after prefixes of PEFT's that may be missing or there twice.
    private static readonly string[] Layers =
    [
        "transformer.",
        "model.layers.",
        "model.embed_tokens.",
        "model.norm.",
        "lm_head.",
    ];
    private static readonly string[] PeftParts = ["base_model", "model"];
    private static readonly string[] Roots = ["transformer.", "model.", "lm_head."];

    private readonly WeightFiles files;
    private readonly Dictionary<string, StoredTensor> byName = new(StringComparer.Ordinal);

    private AdapterTensors(WeightFiles files) => this.files = files;

    /// <summary>Path of the file.</summary>
    public string Path => files.Path;

    /// <summary>The tensors by PEFT's names.</summary>
    public IReadOnlyDictionary<string, StoredTensor> ByName => byName;

    /// <summary>The layout that the names follow.</summary>
    public CheckpointLayout Layout =>
        byName.Keys.Any(name => name.StartsWith($"{Prefix}transformer.", StringComparison.Ordinal))
            ? CheckpointLayout.Original
            : CheckpointLayout.Library;

    /// <summary>Opens an adapter folder's file.</summary>
    /// <param name="folder">The adapter folder.</param>
    /// <param name="note">Called if names were accepted that PEFT would not write.</param>
    /// <exception cref="InvalidDataException">The file is missing, damaged or empty, or exists only as a
    /// pickle.</exception>
    public static AdapterTensors Open(string folder, Action<string>? note = null)
    {
        var files = WeightFiles.OpenAdapter(folder);
        try
        {
            var tensors = new AdapterTensors(files);
            tensors.ReadNames(note);
            return tensors;
        }
        catch
        {
            files.Dispose();
            throw;
        }
    }

    /// <summary>Throws if no tensor can belong to a LoRA adapter.</summary>
    /// <exception cref="InvalidDataException">No name starts like that of a layer.</exception>
    public void CheckLayers()
    {
        if (!byName.Keys.Any(name => Roots.Any(root => name.StartsWith(Prefix + root, StringComparison.Ordinal))))
        {
            throw new InvalidDataException(
                $"{Path}: holds no tensor of a LoRA adapter: found '{files.Tensors.First().Name}'"
                    + $"{(byName.Count > 1 ? $" and {byName.Count - 1} more" : "")}; expected names such as "
                    + $"'{Prefix}transformer.encoder.layers.0.self_attention.query_key_value.lora_A.weight' or "
                    + $"'{Prefix}model.layers.0.self_attn.q_proj.lora_A.weight'."
            );
        }
    }

    /// <inheritdoc/>
    public void Dispose() => files.Dispose();

    private void ReadNames(Action<string>? note)
    {
        string? renamed = null;
        foreach (var tensor in files.Tensors)
        {
            var name = Canonical(tensor.Name);
            if (name != tensor.Name)
            {
                renamed ??= tensor.Name;
            }

            if (!byName.TryAdd(name, tensor))
            {
                throw new InvalidDataException(
                    $"{Path}: '{tensor.Name}' and '{byName[name].Name}' are the same tensor under two names."
                );
            }
        }

        if (byName.Count == 0)
        {
            throw new InvalidDataException(
                $"{Path}: holds no tensors: the adapter was saved empty. Some training scripts save it after they have "
                    + "removed its weights from the model, or while the weights are sharded. Save it again."
            );
        }

        if (renamed is not null)
        {
            note?.Invoke(
                $"{Path}: tensors are named as '{renamed}', and are read as '{Canonical(renamed)}', as PEFT writes it."
            );
        }
    }

    private static string Canonical(string name)
    {
        var bare = string.Join('.', name.Split('.').Where(part => !Wrappers.Contains(part)));
        for (var rest = bare; ; rest = rest[(rest.IndexOf('.', StringComparison.Ordinal) + 1)..])
        {
            if (Array.Exists(Layers, layer => rest.StartsWith(layer, StringComparison.Ordinal)))
            {
                return Prefix + rest;
            }

            if (!Array.Exists(PeftParts, part => rest.StartsWith($"{part}.", StringComparison.Ordinal)))
            {
                return bare;
            }
        }
    }
}
