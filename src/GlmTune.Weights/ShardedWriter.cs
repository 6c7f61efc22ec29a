namespace GlmTune.Weights;

/// <summary>Writes a model's weights as one file, or as parts of a limited size with an index, tensor by
/// tensor.</summary>
/// <remarks>
/// Names are those that model hubs use: <c>model.safetensors</c>, or <c>model-00001-of-00004.safetensors</c> and so on
/// with <c>model.safetensors.index.json</c>, which is written last. One thread at a time. </remarks>
public sealed class ShardedWriter : IDisposable
{
    /// <summary>The size of part that model hubs use, 5 GB.</summary>
    public const long DefaultPartBytes = 5_000_000_000;

    private readonly string folder;
    private readonly Dictionary<string, string> partOf = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<TensorSpec>> parts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SafetensorsWriter> open = new(StringComparer.Ordinal);
    private readonly HashSet<string> complete = new(StringComparer.Ordinal);
    private readonly IReadOnlyDictionary<string, string>? metadata;

    /// <summary>Plans the parts; files are made as tensors come in.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="tensors">All tensors; parts are filled in this order.</param>
    /// <param name="maxPartBytes">Most bytes of tensors in a part; a larger tensor has one for itself.</param>
    /// <param name="metadata">Text entries of each part's header; <see cref="SafetensorsWriter.PyTorchFormat"/> unless
    /// given.</param>
    /// <exception cref="ArgumentException">A name is there twice, or the part size is not positive.</exception>
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

    /// <summary>Bytes of all tensors together.</summary>
    public long TotalBytes { get; }

    /// <summary>Names of the weight files, the index aside, in order.</summary>
    public IReadOnlyList<string> Parts => [.. parts.Keys];

    /// <summary>Writes a tensor, or its next piece.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="bytes">Elements, little-endian and row-major.</param>
    /// <exception cref="ArgumentException">The name was not declared, or the tensor gets more bytes than its type and
    /// shape need.</exception>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        var part = PartOf(name);
        if (bytes.Length > 0) // an empty tensor's part may be complete already
        {
            WriterOf(part, name).Write(name, bytes);
            CompleteIfFull(part);
        }
    }

    /// <summary>Writes a tensor, or its next piece, from memory at an address; for those above 2 GB, which no span can
    /// hold.</summary>
    /// <param name="name">A declared name.</param>
    /// <param name="source">Start of the memory.</param>
    /// <param name="byteCount">How many bytes to write.</param>
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
    /// <exception cref="InvalidOperationException">A declared tensor lacks bytes.</exception>
    public void Complete()
    {
        foreach (var part in parts.Keys.Where(part => !complete.Contains(part)))
        {
            // A part of empty tensors alone may never have been written to.
            WriterOf(part, parts[part].FirstOrDefault()?.Name ?? "").Complete();
            complete.Add(part);
        }

        if (parts.Count > 1)
        {
            WeightIndex.Write(Path.Combine(folder, WeightFiles.IndexFile), TotalBytes, partOf);
        }
    }

    /// <summary>Closes the parts; removes incomplete ones. Complete ones stay, without an index unless
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
