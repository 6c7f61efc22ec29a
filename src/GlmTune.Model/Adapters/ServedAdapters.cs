using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Adapters of any kind served side by side on one base model: each row of a pass uses its own adapter, or
/// none.</summary>
/// <remarks>LoRA and DoRA adapters of all ranks, targets and scales share one pair of products per linear layer
/// (<see cref="ServedLowRank"/>); a prefix is stored at the start of its rows' cache slots. Do not load or unload
/// during a pass; <see cref="All"/> may be read at any time.</remarks>
internal sealed class ServedAdapters : IDisposable
{
    private readonly DecoderModel model;
    private ServedAdapter[] adapters = []; // Replaced with each change, because requests look up names at any time.
    private readonly Dictionary<Linear, ServedLowRank> layers = [];
    private readonly List<Tensor> tables = [];

    /// <summary>An empty set.</summary>
    /// <param name="model">The base model; it must outlive the set.</param>
    /// <exception cref="InvalidOperationException">The model already has a set, or an attached adapter.</exception>
    public ServedAdapters(DecoderModel model)
    {
        if (
            model.Served is not null
            || model.VirtualTokens > 0
            || Linears(model).Any(linear => linear.Adapters.Count > 0)
        )
        {
            throw new InvalidOperationException(
                "The model already has an adapter attached. Several adapters can be served only on a plain "
                    + "base model."
            );
        }

        this.model = model;
        model.Served = this;
    }

    /// <summary>The adapters in the order of loading.</summary>
    public IReadOnlyList<ServedAdapter> All => adapters;

    /// <summary>Maximum number of virtual tokens of any adapter; 0 without prefixes.</summary>
    public int MaxVirtualTokens => adapters.Select(adapter => adapter.VirtualTokens).DefaultIfEmpty(0).Max();

    /// <summary>Loads an adapter folder.</summary>
    /// <param name="name">Name of the adapter in requests.</param>
    /// <param name="folder">The adapter folder, in PEFT's format.</param>
    /// <param name="positions">For a prefix: position of the first real token; automatic: as recorded, otherwise by the
    /// model's layout.</param>
    /// <exception cref="ArgumentException">The name is empty or already used.</exception>
    /// <exception cref="InvalidDataException">Files are damaged or do not match the model, or the adapter replaces
    /// whole weights of the base.</exception>
    public ServedAdapter Load(string name, string folder, PrefixPositions positions = PrefixPositions.Auto)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (Array.Exists(adapters, other => other.Name == name))
        {
            throw new ArgumentException($"An adapter named '{name}' already exists.", nameof(name));
        }

        var config = AdapterConfigFile.Read(folder);
        if (config.Kind == "LORA" && config.ReadLora().ModulesToSave is { Count: > 0 } modules)
        {
            throw new InvalidDataException(
                $"{config.Path}: modules_to_save ({string.Join(", ", modules)}) replaces weights of the base "
                    + "model, which other adapters need. Serve this adapter alone, or merge it (glmtune merge)."
            );
        }

        using var scope = NewDisposeScope();
        using var loaded = AdapterFolder.Load(folder, model, positions: positions);
        loaded.Detach(model);
        var adapter = loaded switch
        {
            Lora lora => new ServedAdapter(name, lora.Options.UseDora ? "DoRA" : "LoRA"),
            PrefixTuning prefix => new ServedAdapter(name, "P-Tuning v2")
            {
                VirtualTokens = prefix.VirtualTokens,
                FirstPosition = prefix.FirstPosition,
                Prefixes = [.. prefix.Prefixes.Select(parameter => parameter.Value.clone().DetachFromDisposeScope())],
            },
            _ => throw new InvalidDataException($"{folder}: adapters of kind {config.Kind} cannot be served."),
        };
        foreach (var delta in (loaded as Lora)?.Layers ?? [])
        {
            if (!layers.TryGetValue(delta.Linear, out var layer))
            {
                layers[delta.Linear] = layer = new ServedLowRank(delta.Linear);
                delta.Linear.Attach(layer);
            }

            layer.Add(adapter, delta);
        }

        adapters = [.. adapters, adapter];
        Renumber();
        return adapter;
    }

    /// <summary>Unloads an adapter; rows that use it fail.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="ArgumentException">There is no adapter with this name.</exception>
    public void Unload(string name)
    {
        var adapter =
            Array.Find(adapters, other => other.Name == name)
            ?? throw new ArgumentException($"Unknown adapter '{name}'; available: {Names()}.", nameof(name));
        adapters = [.. adapters.Where(other => other != adapter)];
        Drop(adapter);
        foreach (var (linear, layer) in layers)
        {
            layer.Remove(adapter);
            if (layer.IsEmpty)
            {
                linear.Detach([layer]);
                layer.Dispose();
                layers.Remove(linear);
            }
        }

        Renumber();
    }

    /// <summary>The adapters of a pass's tokens; null if none of them is a low-rank one, so that layers need not
    /// know.</summary>
    /// <param name="bySequence">Adapter of each sequence; null for the base model.</param>
    /// <param name="sequences">Their tokens in this pass.</param>
    /// <param name="device">Device of the pass.</param>
    /// <exception cref="InvalidOperationException">An adapter was unloaded.</exception>
    public static AdapterRows? Rows(IReadOnlyList<ServedAdapter?> bySequence, SequenceLayout sequences, Device device)
    {
        if (bySequence.FirstOrDefault(adapter => adapter is { IsLoaded: false }) is { } gone)
        {
            throw new InvalidOperationException($"The adapter '{gone.Name}' was unloaded.");
        }

        return bySequence.All(adapter => adapter is null or { TableRow: 0 })
            ? null
            : new AdapterRows(
                tensor(
                        bySequence
                            .SelectMany(
                                (adapter, i) => Enumerable.Repeat((long)(adapter?.TableRow ?? 0), sequences.LengthOf(i))
                            )
                            .ToArray()
                    )
                    .to(device)
            );
    }

    /// <summary>Removes all adapters from the model.</summary>
    public void Dispose()
    {
        Array.ForEach(adapters, Drop);
        adapters = [];
        foreach (var (linear, layer) in layers)
        {
            linear.Detach([layer]);
            layer.Dispose();
        }

        layers.Clear();
        DropTables();
        model.Served = null;
    }

    private static IEnumerable<Linear> Linears(DecoderModel model) =>
        model.Layers.SelectMany(layer => layer.Linears).Append(model.Head.Projection);

    private static void Drop(ServedAdapter adapter)
    {
        adapter.IsLoaded = false;
        foreach (var prefix in adapter.Prefixes)
        {
            prefix.Dispose();
        }
    }

    private string Names() =>
        adapters.Length == 0 ? "none" : string.Join(", ", adapters.Select(adapter => $"'{adapter.Name}'"));

    // Layers whose rows have equal scales share a table, so that a pass looks up its rows once instead of in every
    // layer.
    private void Renumber()
    {
        var lowRank = adapters.Where(adapter => adapter.VirtualTokens == 0).ToList();
        foreach (var (index, adapter) in lowRank.Index())
        {
            adapter.TableRow = index + 1;
        }

        DropTables();
        var shared = new Dictionary<string, Tensor>();
        foreach (var (linear, layer) in layers)
        {
            using var scope = NewDisposeScope();
            var rows = layer.ScaleRows(lowRank.Count);
            var key =
                $"{linear.Weight.Device} {rows.GetLength(1)} "
                + $"{string.Join(' ', rows.Cast<double>().Select(scale => BitConverter.DoubleToInt64Bits(scale)))}";
            if (!shared.TryGetValue(key, out var table))
            {
                var type = model.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
                table = shared[key] = tensor(rows).to_type(type).to(linear.Weight.Device).DetachFromDisposeScope();
                tables.Add(table);
            }

            layer.Scales = table;
            layer.MakeGains(lowRank.Count);
        }

        model.NoteChange();
    }

    private void DropTables()
    {
        tables.ForEach(table => table.Dispose());
        tables.Clear();
    }
}
