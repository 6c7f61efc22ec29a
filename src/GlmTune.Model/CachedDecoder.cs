using GlmTune.Kernels;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Decoding on one device. On a GPU, passes are captured once and replayed, and the most likely tokens feed
/// the next pass without the host.</summary>
/// <remarks>A pass reads eight numbers per sequence from one small tensor (token, slot, adapter, order and tiles by
/// adapter, position in the slot, cached tokens, rotary position). It ends by writing the numbers of the next pass
/// there, for the case that every sequence continues with its most likely token. A captured graph is therefore valid
/// for every pass with the same number of sequences, until the cache is resized or the adapters need other tables. To
/// keep the number of graphs small, passes are padded to one of a few sizes by repeating the first sequence, which
/// writes the same keys and values to the same position.</remarks>
internal sealed class CachedDecoder : IDecoder
{
    // Short answers are not worth a capture, which takes as long as a few passes.
    private const int PassesBeforeCapture = 4;
    private const int ResultsAtOnce = 2;
    private const int FirstLongest = 512;
    private static readonly int[] Sizes = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128];

    private readonly DecoderModel model;
    private readonly KvCache cache;
    private readonly int vocabularySize;
    private readonly bool fillsUp;
    private readonly Dictionary<(int Size, bool Adapted), DecodePass> passes = [];
    private readonly Queue<(PinnedMemory Tokens, int Size, int Count)> asked = new();
    private readonly List<PinnedMemory> free = [];
    private PinnedMemory? staging;
    private Tensor? cosines;
    private Tensor? sines;
    private DecodePass? current;
    private int count;
    private int longest;
    private bool uneven;
    private long? arrangement; // Of the served adapters when rows were last read.
    private (int Cache, long Model) capturedFor = (-1, -1);

    /// <param name="model">The model.</param>
    /// <param name="cache">The KV cache.</param>
    /// <param name="vocabularySize">Exclusive upper bound of the ids that may be generated.</param>
    /// <param name="fillsUp">Whether passes are padded to a few sizes; null: if they are captured.</param>
    public CachedDecoder(DecoderModel model, KvCache cache, int vocabularySize, bool? fillsUp = null)
    {
        (this.model, this.cache, this.vocabularySize) = (model, cache, vocabularySize);
        Captures = model.Kernels.CanCaptureDecoding(
            model.Type,
            model.Config.Heads,
            model.Config.HiddenSize,
            model.Config.FeedForwardSize
        );
        this.fillsUp = fillsUp ?? Captures;
    }

    /// <summary>Whether passes are captured; false once a capture has failed.</summary>
    public bool Captures { get; private set; }

    /// <summary>Whether passes may be captured where possible; can be turned off for comparison.</summary>
    public bool MayCapture { get; init; } = true;

    /// <summary>Why a capture failed; null if none did.</summary>
    public string? Refusal { get; private set; }

    /// <summary>Number of captures so far.</summary>
    public int CaptureCount { get; private set; }

    /// <inheritdoc/>
    public bool IsUsable => CanDecode(model);

    /// <inheritdoc/>
    public Tensor Logits =>
        current?.Results is { } results
            ? results.Logits.narrow(0, 0, count)
            : throw new InvalidOperationException("No pass was queued.");

    /// <summary>Whether all layers support this way of decoding: they are on one device, and their adapters support
    /// it.</summary>
    public static bool CanDecode(DecoderModel model) =>
        model.Plan.Devices.Count == 1 && model.Head.Projection.CanDecode && model.Layers.All(layer => layer.CanDecode);

    /// <inheritdoc/>
    public void Begin(ReadOnlySpan<DecodeRow> rows, SamplingTable? table = null)
    {
        if (rows.Length == 0)
        {
            throw new ArgumentException("A pass needs at least one sequence.", nameof(rows));
        }

        DropWhatIsStale();
        while (asked.TryDequeue(out var result))
        {
            free.Add(result.Tokens);
        }

        var size = fillsUp ? SizeFor(rows.Length) : rows.Length;
        var adapted = BringIn(rows);
        (count, longest) = (rows.Length, 0);
        var sum = 0L;
        if (staging is null || staging.Bytes < BytesOf(DecodePass.Numbers * size))
        {
            staging?.Dispose();
            staging = new PinnedMemory(model.Device, BytesOf(DecodePass.Numbers * Math.Max(size, Sizes[^1])));
        }

        staging.Wait();
        var numbers = staging.At<long>(0, DecodePass.Numbers * size);
        var adapters = new int[size];
        for (var i = 0; i < size; i++)
        {
            var row = rows[i < rows.Length ? i : 0];
            longest = Math.Max(longest, row.Before + 1);
            sum += row.Before + 1;
            numbers[(DecodePass.Ids * size) + i] = row.Id;
            numbers[(DecodePass.Slots * size) + i] = row.Slot;
            adapters[i] = row.Adapter?.TableRow ?? 0;
            numbers[(DecodePass.Adapters * size) + i] = adapters[i];
            numbers[(DecodePass.SlotPositions * size) + i] = row.Before;
            numbers[(DecodePass.Lengths * size) + i] = row.Before + 1;
            numbers[(DecodePass.Positions * size) + i] =
                row.Before
                - (row.Adapter?.VirtualTokens ?? model.VirtualTokens)
                + (row.Adapter?.FirstPosition ?? model.PositionOffset);
        }

        MixedRows.Arrange(
            adapters,
            numbers.Slice(DecodePass.Order * size, size),
            numbers.Slice(DecodePass.Tiles * size, size)
        );
        uneven = CachedSequences.IsUneven(longest, sum, size);
        if (longest > cache.Capacity)
        {
            throw new ArgumentException(
                $"A sequence of {longest} tokens does not fit the cache of {cache.Capacity}.",
                nameof(rows)
            );
        }

        current = passes.TryGetValue((size, adapted), out var known)
            ? known
            : passes[(size, adapted)] = new DecodePass(size, adapted, model.Device);
        staging.CopyTo(current.Input, 0, BytesOf(DecodePass.Numbers * size));
        cache.Flush();
        Run(current, table);
    }

    /// <inheritdoc/>
    public bool CanAdvance =>
        current is not null
        && longest < cache.Capacity
        && capturedFor == Now()
        && (!current.Adapted || arrangement == model.Served?.Arrangement);

    /// <inheritdoc/>
    public void Advance(SamplingTable? table = null)
    {
        if (!CanAdvance)
        {
            throw new InvalidOperationException(
                "There is no pass to continue from, no room for its next tokens, or the model or the cache has changed."
            );
        }

        longest++;
        cache.Flush();
        Run(current!, table);
    }

    /// <inheritdoc/>
    public ChosenToken[] Tokens()
    {
        if (!asked.TryDequeue(out var result))
        {
            throw new InvalidOperationException("The tokens of all queued passes have already been read.");
        }

        result.Tokens.Wait();
        var tokens = new ChosenToken[result.Count];
        var found = result.Tokens.At<double>(0, 2 * result.Size);
        for (var i = 0; i < tokens.Length; i++)
        {
            tokens[i] = new ChosenToken((int)found[i], (float)found[result.Size + i]);
        }

        free.Add(result.Tokens);
        return tokens;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Drop();
        foreach (var memory in asked.Select(result => result.Tokens).Concat(free))
        {
            memory.Dispose();
        }

        asked.Clear();
        free.Clear();
        staging?.Dispose();
        staging = null;
    }

    // Whether rows have low-rank adapters, which are then on the device.
    private bool BringIn(ReadOnlySpan<DecodeRow> rows)
    {
        var adapters = new List<ServedAdapter>();
        foreach (var row in rows)
        {
            if (row.Adapter is { IsLoaded: false } gone)
            {
                throw new InvalidOperationException($"The adapter '{gone.Name}' was unloaded.");
            }

            if (row.Adapter is { IsLowRank: true } adapter)
            {
                adapters.Add(adapter);
            }
        }

        if (adapters.Count > 0)
        {
            model.Served!.BringIn(adapters);
        }

        arrangement = model.Served?.Arrangement;
        return adapters.Count > 0;
    }

    private static long BytesOf(int integers) => (long)integers * sizeof(long);

    private static int SizeFor(int rows) =>
        Array.Find(Sizes, size => size >= rows) is var size and > 0 ? size : (rows + 63) / 64 * 64;

    private void Run(DecodePass pass, SamplingTable? table)
    {
        if (!Captures)
        {
            pass.Keep(Work(pass, longest));
        }
        else
        {
            // How far attention may have to look only determines into how many parts it is split; passes share graphs
            // by that.
            var reach = FirstLongest;
            while (reach < longest)
            {
                reach *= 4;
            }

            reach = Math.Min(reach, cache.Capacity);
            pass.Arena ??= new TensorArena(model.Device, DecodeSections.Of(model.Config, pass.Size).Bytes);
            if (pass.Captures.TryGetValue((reach, uneven), out var capture) || TryCapture(pass, reach, out capture))
            {
                capture.Graph.Replay();
                pass.Use(capture);
            }
            else if (!Captures || !TryWorkInArena(pass, reach))
            {
                pass.Keep(Work(pass, reach));
            }
        }

        if (asked.Count == ResultsAtOnce)
        {
            free.Add(asked.Dequeue().Tokens);
        }

        // Ids and logits, 8 bytes each.
        var bytes = BytesOf(2 * pass.Size);
        var tokens = free.Find(memory => memory.Bytes >= bytes);
        if (tokens is null)
        {
            tokens = new PinnedMemory(model.Device, Math.Max(bytes, BytesOf(2 * Sizes[^1])));
        }
        else
        {
            free.Remove(tokens);
        }

        if (table is null)
        {
            tokens.CopyFrom(pass.Results!.Next, bytes);
        }
        else
        {
            using var chosen = Choose(pass, table);
            tokens.CopyFrom(chosen, bytes);
        }

        asked.Enqueue((tokens, pass.Size, count));
    }

    // Instead of the most likely tokens: those that a table asks for.
    private Tensor Choose(DecodePass pass, SamplingTable table)
    {
        // What fills the pass up must write what the first sequence writes.
        for (var row = count; row < pass.Size; row++)
        {
            table.Repeat(0);
        }

        using var ids = pass.Input.select(0, DecodePass.Ids);
        return model.Kernels.Sample(pass.Results!.Logits, table, vocabularySize, pass.Drawn, ids);
    }

    // False if the arena is too small for the kernels of this device: nothing has changed, and from now on they
    // allocate.
    private bool TryWorkInArena(DecodePass pass, int reach)
    {
        try
        {
            using (pass.Arena!.Use())
            {
                pass.Keep(Work(pass, reach));
            }

            return true;
        }
        catch (ArenaFullException error)
        {
            (Captures, Refusal) = (false, error.Message);
            return false;
        }
    }

    private bool TryCapture(DecodePass pass, int reach, out CapturedDecode capture)
    {
        capture = null!;
        if (!MayCapture || pass.Uncaptured++ < PassesBeforeCapture)
        {
            return false;
        }

        DecodeResults? made = null;
        // Capturing also runs the work, which replaces this pass's numbers by those of the next.
        using var input = pass.Input.clone();
        try
        {
            var graph = CudaGraph.RunAndCapture(
                model.Device,
                pass.Arena!,
                () =>
                {
                    made?.Dispose();
                    made = Work(pass, reach);
                }
            );
            capture = pass.Captures[(reach, uneven)] = new CapturedDecode(graph, made!);
            CaptureCount++;
            return true;
        }
        catch (Exception error)
            when (error
                    is CudaException
                        or AtenException
                        or ArenaFullException
                        or System.Runtime.InteropServices.ExternalException
            )
        {
            made?.Dispose();
            (Captures, Refusal) = (false, error.Message);
            return false;
        }
        finally
        {
            pass.Input.copy_(input);
        }
    }

    // One complete pass: the small tensor in, logits and most likely tokens out, which belong to no dispose scope.
    private DecodeResults Work(DecodePass pass, int reach)
    {
        using var scope = NewDisposeScope();
        var (kernels, arena, sections) = (model.Kernels, pass.Arena, DecodeSections.Of(model.Config, pass.Size));
        arena?.TakeFrom(0, sections.Begin);
        var ids = pass.Input.select(0, DecodePass.Ids);
        var (hidden, cosine, sine) = kernels.Embed(
            ids,
            pass.Input.select(0, DecodePass.Positions),
            model.Embedding.Weight.Value,
            cosines!,
            sines!
        );
        using var rows = pass.Adapted
            ? new MixedRows(
                pass.Input.select(0, DecodePass.Adapters),
                pass.Input.select(0, DecodePass.Order),
                pass.Input.select(0, DecodePass.Tiles)
            )
            : null;
        using var context = new LayerContext(cosine, sine)
        {
            Kernels = kernels,
            Sequences = pass.Sequences,
            Adapters = rows,
            Cache = new CacheStep(
                cache,
                pass.Input.select(0, DecodePass.Slots),
                pass.Input.select(0, DecodePass.SlotPositions),
                pass.Input.select(0, DecodePass.Lengths),
                reach,
                uneven
            ),
        };
        // A layer reads what the previous one wrote and nothing older, so two sections alternate.
        var (stream, delta) = model.Decode(
            hidden,
            context,
            before: layer => arena?.TakeFrom(sections.Begin + (layer % 2 * sections.Layer), sections.Layer)
        );
        arena?.TakeFrom(sections.Begin + (2 * sections.Layer), sections.End);
        var logits = model.Head.Decode(stream, delta, context);
        var next = kernels.ArgMax(logits, vocabularySize);
        ids.copy_(next.select(0, 0));
        pass.Input.narrow(0, DecodePass.SlotPositions, DecodePass.Numbers - DecodePass.SlotPositions).AddInPlace(1);
        return new DecodeResults(logits.DetachFromDisposeScope(), next.DetachFromDisposeScope());
    }

    private void DropWhatIsStale()
    {
        var now = Now();
        if (capturedFor == now && cosines is not null)
        {
            return;
        }

        Drop();
        capturedFor = now;
        var (cosine, sine) = model.AngleTable(cache.Capacity + model.PositionOffset);
        (cosines, sines) = (cosine.DetachFromDisposeScope(), sine.DetachFromDisposeScope());
    }

    // What graphs and tables depend on: the addresses of the cache and of all weights and adapters.
    private (int Cache, long Model) Now() => (cache.Version, model.Version);

    private void Drop()
    {
        foreach (var pass in passes.Values)
        {
            pass.Dispose();
        }

        passes.Clear();
        current = null;
        cosines?.Dispose();
        sines?.Dispose();
        (cosines, sines) = (null, null);
    }
}
