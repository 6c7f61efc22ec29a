namespace GlmTune.Weights;

/// <summary>Writes a model's weights tensor by tensor, as one file or as several parts of limited size with an
/// index.</summary>
/// <remarks>Uses the file names of model hubs: <c>model.safetensors</c>, or <c>model-00001-of-00004.safetensors</c> and
/// so on with <c>model.safetensors.index.json</c>, which is written last. Not thread-safe.</remarks>
internal sealed class ShardedWriter : IDisposable
{
    /// <summary>The part size that model hubs use, 5 GB.</summary>
    public const long DefaultPartBytes = 5_000_000_000;

    private readonly string folder;
    private readonly Dictionary<string, string> partOf = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<TensorSpec>> parts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SafetensorsWriter> open = new(StringComparer.Ordinal);
    private readonly HashSet<string> complete = new(StringComparer.Ordinal);
    private readonly IReadOnlyDictionary<string, string>? metadata;

    /// <summary>Plans the parts; files are created as tensors arrive.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="tensors">All tensors; parts are filled in this order.</param>
    /// <param name="maxPartBytes">Maximum bytes of tensors per part; a larger tensor gets a part of its own.</param>
    /// <param name="metadata">Text entries of each part's header; null:
    /// <see cref="SafetensorsWriter.PyTorchFormat"/>.</param>
    /// <exception cref="ArgumentException">A name is declared twice, or the part size is not positive.</exception>
    public ShardedWriter(
        string folder,
        IEnumerable<TensorSpec> tensors,
        long maxPartBytes = DefaultPartBytes,
        IReadOnlyDictionary<string, string>? metadata = null
    )
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxPartBytes);
        this.folder = folder;
        this.metadata = metadata;
        var plan = new List<List<TensorSpec>> { new() };
        long bytes = 0;
        foreach (var tensor in tensors)
        {
            if (plan[^1].Count > 0 && bytes > maxPartBytes - tensor.ByteCount)
            {
                plan.Add([]);
                bytes = 0;
            }

            plan[^1].Add(tensor);
            bytes += tensor.ByteCount;
            TotalBytes = checked(TotalBytes + tensor.ByteCount);
        }

        for (var i = 0; i < plan.Count; i++)
        {
            var part = plan.Count == 1 ? WeightFiles.ModelFile : $"model-{i + 1:D5}-of-{plan.Count:D5}.safetensors";
            parts.Add(part, plan[i]);
            foreach (var tensor in plan[i])
            {
                if (!partOf.TryAdd(tensor.Name, part))
                {
                    throw new ArgumentException($"'{tensor.Name}' is declared twice.", nameof(tensors));
                }
            }
        }
    }

    /// <summary>Total bytes of all tensors.</summary>
    public long TotalBytes { get; }

    /// <summary>Names of the weight files in order, without the index.</summary>
    public IReadOnlyList<string> Parts => [.. parts.Keys];

    /// <summary>Writes a tensor, or its next piece.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="bytes">Elements, little-endian and row-major.</param>
    /// <exception cref="ArgumentException">The name was not declared, or the tensor would get more bytes than its type
    /// and shape require.</exception>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        var part = PartOf(name);
        if (bytes.Length > 0) // the part of an empty tensor may already be complete
        {
            WriterOf(part, name).Write(name, bytes);
            CompleteIfFull(part);
        }
    }

    /// <summary>Writes a tensor, or its next piece, from memory at an address. Needed above 2 GB, the limit of
    /// spans.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="source">Start of the memory.</param>
    /// <param name="byteCount">Number of bytes to write.</param>
    /// <exception cref="ArgumentException">As for the other overload.</exception>
    public void Write(string name, nint source, long byteCount)
    {
        var part = PartOf(name);
        if (byteCount > 0)
        {
            WriterOf(part, name).Write(name, source, byteCount);
            CompleteIfFull(part);
        }
    }

    /// <summary>Finishes every part and writes the index.</summary>
    /// <exception cref="InvalidOperationException">Declared tensors are incomplete.</exception>
    public void Complete()
    {
        foreach (var part in parts.Keys.Where(part => !complete.Contains(part)))
        {
            // A part that holds only empty tensors may never have been written to.
            WriterOf(part, parts[part].FirstOrDefault()?.Name ?? "").Complete();
            complete.Add(part);
        }

        if (parts.Count > 1)
        {
            WeightIndex.Write(Path.Combine(folder, WeightFiles.IndexFile), TotalBytes, partOf);
        }
    }

    /// <summary>Closes the parts and removes incomplete ones. Completed parts stay, without an index unless
    /// <see cref="Complete"/> was called.</summary>
    public void Dispose()
    {
        foreach (var writer in open.Values)
        {
            writer.Dispose();
        }
    }

    private string PartOf(string name) =>
        partOf.GetValueOrDefault(name)
        ?? throw new ArgumentException($"{folder}: '{name}' was not declared.", nameof(name));

    private SafetensorsWriter WriterOf(string part, string name)
    {
        if (complete.Contains(part))
        {
            throw new ArgumentException($"{Path.Combine(folder, part)}: '{name}' is already complete.", nameof(name));
        }

        if (!open.TryGetValue(part, out var writer))
        {
            writer = new SafetensorsWriter(Path.Combine(folder, part), parts[part], metadata);
            open.Add(part, writer);
        }

        return writer;
    }

    private void CompleteIfFull(string part)
    {
        if (open[part] is { IsFull: true } writer)
        {
            writer.Complete();
            open.Remove(part);
            complete.Add(part);
        }
    }
}
