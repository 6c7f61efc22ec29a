using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Adapters of any kind served side by side on one base model: each row of a pass uses its own adapter, or
/// none.</summary>
/// <remarks>LoRA and DoRA adapters of all ranks, targets and scales are applied by one pair of grouped products per
/// linear layer (<see cref="ServedLowRank"/>); a prefix is stored at the start of its rows' cache slots. With a limit,
/// the matrices of adapters that were not used for longest wait in host memory. Do not load or unload during a pass;
/// <see cref="All"/> may be read at any time.</remarks>
internal sealed partial class ServedAdapters : IDisposable
{
    private const int FirstRows = 8;

    private readonly DecoderModel model;
    private readonly Dictionary<string, Linear> linears;
    private readonly Dictionary<string, ServedLowRank> layers = []; // By the name of the weight.
    private ServedAdapter[] adapters = []; // Replaced with each change, because requests look up names at any time.
    private ServedAdapter?[] table; // The adapters on the device by their rows; row 0 is the base model's.
    private long uses;

    /// <summary>An empty set.</summary>
    /// <param name="model">The base model; it must outlive the set.</param>
    /// <param name="most">Most low-rank adapters on the device at once; null: all.</param>
    /// <exception cref="InvalidOperationException">The model already has a set, or an attached adapter.</exception>
    public ServedAdapters(DecoderModel model, int? most = null)
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

        ArgumentOutOfRangeException.ThrowIfLessThan(most ?? 1, 1, nameof(most));
        (this.model, Most, table) = (model, most, new ServedAdapter?[1 + (most ?? FirstRows)]);
        linears = Linears(model).ToDictionary(linear => linear.Weight.Name);
        model.Served = this;
    }

    /// <summary>The adapters in the order of loading.</summary>
    public IReadOnlyList<ServedAdapter> All => adapters;

    /// <summary>Most low-rank adapters on the device at once; null: all.</summary>
    public int? Most { get; }

    /// <summary>Changes when a row of the tables gets another adapter: rows read before are no longer valid.</summary>
    public long Arrangement { get; private set; }

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
        CheckName(name);
        return Add(Read(name, folder, model, positions));
    }

    /// <summary>Adds an adapter that was read; if that fails, it is freed, and nothing has changed.</summary>
    /// <exception cref="ArgumentException">The name is empty or already used.</exception>
    public ServedAdapter Add(ServedAdapter adapter)
    {
        var (attached, changed) = (0, false);
        try
        {
            CheckName(adapter.Name);
            if (Most is null && adapter.IsLowRank && Array.IndexOf(table, null, 1) < 0)
            {
                Grow();
            }

            foreach (var (weight, columns, scaled) in adapter.Matrices?.Layers ?? [])
            {
                if (!layers.TryGetValue(weight, out var layer))
                {
                    layers[weight] = layer = new ServedLowRank(linears[weight], table.Length);
                    linears[weight].Attach(layer);
                }

                layer.Users++;
                attached++;
                changed |= layer.MakeRoom(columns, scaled);
            }

            if (changed)
            {
                model.NoteChange();
            }

            if (Array.IndexOf(table, null, 1) > 0 || Most is null)
            {
                BringIn([adapter]);
            }
        }
        catch
        {
            Leave(adapter);
            Release(adapter, attached);
            Free(adapter);
            throw;
        }

        adapters = [.. adapters, adapter];
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
        Leave(adapter);
        Release(adapter, int.MaxValue);
        Free(adapter);
    }

    /// <summary>Brings the matrices of adapters to the device; the least recently used make room.</summary>
    /// <param name="used">Adapters of a pass, in any number of copies; null: the base model.</param>
    /// <exception cref="InvalidOperationException">An adapter was unloaded, or they are more than may be there at
    /// once.</exception>
    public void BringIn(IEnumerable<ServedAdapter?> used)
    {
        uses++;
        List<ServedAdapter>? missing = null;
        foreach (var adapter in used)
        {
            if (adapter is { IsLoaded: false })
            {
                throw new InvalidOperationException($"The adapter '{adapter.Name}' was unloaded.");
            }

            if (adapter is { IsLowRank: true } && adapter.LastUse != uses)
            {
                adapter.LastUse = uses;
                if (adapter.TableRow == 0)
                {
                    (missing ??= []).Add(adapter);
                }
            }
        }

        foreach (var adapter in missing ?? [])
        {
            Put(adapter, FreeRow());
        }
    }

    /// <summary>The adapters of a pass's tokens, which are brought to the device; null if none of them is a low-rank
    /// one, so that layers need not know.</summary>
    /// <param name="model">The model.</param>
    /// <param name="bySequence">Adapter of each sequence; null for the base model.</param>
    /// <param name="tokens">Number of tokens of each sequence.</param>
    /// <param name="device">Device of the result.</param>
    /// <exception cref="InvalidOperationException">As for <see cref="BringIn"/>.</exception>
    public static MixedRows? Rows(
        DecoderModel model,
        IReadOnlyList<ServedAdapter?> bySequence,
        Func<int, int> tokens,
        Device device
    )
    {
        if (bySequence.FirstOrDefault(adapter => adapter is { IsLoaded: false }) is { } gone)
        {
            throw new InvalidOperationException($"The adapter '{gone.Name}' was unloaded.");
        }

        if (bySequence.All(adapter => adapter is null or { IsLowRank: false }))
        {
            return null;
        }

        model.Served!.BringIn(bySequence);
        var rows = new List<int>();
        foreach (var (i, adapter) in bySequence.Index())
        {
            rows.AddRange(Enumerable.Repeat(adapter?.TableRow ?? 0, tokens(i)));
        }

        return MixedRows.Of([.. rows], device);
    }

    /// <summary>Removes all adapters from the model.</summary>
    public void Dispose()
    {
        Array.ForEach(adapters, Free);
        adapters = [];
        foreach (var (weight, layer) in layers)
        {
            linears[weight].Detach([layer]);
            layer.Dispose();
        }

        layers.Clear();
        model.Served = null;
    }

    private static IEnumerable<Linear> Linears(DecoderModel model) =>
        model.Layers.SelectMany(layer => layer.Linears).Append(model.Head.Projection);

    private void CheckName(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (Array.Exists(adapters, other => other.Name == name))
        {
            throw new ArgumentException($"An adapter named '{name}' already exists.", nameof(name));
        }
    }

    // Layers that nobody changes any more are as they were.
    private void Release(ServedAdapter adapter, int attached)
    {
        foreach (var (weight, _, _) in (adapter.Matrices?.Layers ?? []).Take(attached))
        {
            var layer = layers[weight];
            if (--layer.Users == 0)
            {
                linears[weight].Detach([layer]);
                layer.Dispose();
                layers.Remove(weight);
            }
        }
    }

    private int FreeRow()
    {
        if (Array.IndexOf(table, null, 1) is > 0 and var free)
        {
            return free;
        }

        var oldest = table.Skip(1).MinBy(adapter => adapter!.LastUse)!;
        if (oldest.LastUse == uses)
        {
            throw new InvalidOperationException(
                $"A pass uses more adapters than the {Most} that may be on the device at once."
            );
        }

        var row = oldest.TableRow;
        Leave(oldest);
        return row;
    }

    private void Put(ServedAdapter adapter, int row)
    {
        try
        {
            adapter.Matrices!.BringIn();
        }
        catch
        {
            adapter.Matrices!.Leave();
            throw;
        }

        (table[row], adapter.TableRow) = (adapter, row);
        Arrangement++;
        SetRows(adapter, layers);
    }

    private void Leave(ServedAdapter adapter)
    {
        if (adapter.TableRow == 0)
        {
            return;
        }

        foreach (var (weight, _, _) in adapter.Matrices!.Layers)
        {
            layers[weight].Set(adapter.TableRow, null, null);
        }

        (table[adapter.TableRow], adapter.TableRow) = (null, 0);
        adapter.Matrices.Leave();
        Arrangement++;
    }

    // Larger tables are at other addresses.
    private void Grow()
    {
        var rows = 1 + (2 * (table.Length - 1));
        var grown = new Dictionary<string, ServedLowRank>();
        try
        {
            foreach (var (weight, layer) in layers)
            {
                grown[weight] = new ServedLowRank(linears[weight], rows) { Users = layer.Users };
            }

            foreach (var (weight, columns, scaled) in adapters.SelectMany(adapter => adapter.Matrices?.Layers ?? []))
            {
                grown[weight].MakeRoom(columns, scaled);
            }

            foreach (var adapter in table.OfType<ServedAdapter>())
            {
                SetRows(adapter, grown);
            }
        }
        catch
        {
            foreach (var layer in grown.Values)
            {
                layer.Dispose();
            }

            throw;
        }

        foreach (var (weight, layer) in grown)
        {
            linears[weight].Detach([layers[weight]]);
            layers[weight].Dispose();
            linears[weight].Attach(layers[weight] = layer);
        }

        Array.Resize(ref table, rows);
        model.NoteChange();
    }

    private static void SetRows(ServedAdapter adapter, Dictionary<string, ServedLowRank> layers)
    {
        foreach (var (weight, factors, gains) in adapter.Matrices!.There)
        {
            layers[weight].Set(adapter.TableRow, factors, gains);
        }
    }

    private static void Free(ServedAdapter adapter)
    {
        adapter.IsLoaded = false;
        adapter.Matrices?.Dispose();
        foreach (var prefix in adapter.Prefixes)
        {
            prefix.Dispose();
        }
    }

    private string Names() =>
        adapters.Length == 0 ? "none" : string.Join(", ", adapters.Select(adapter => $"'{adapter.Name}'"));
}
