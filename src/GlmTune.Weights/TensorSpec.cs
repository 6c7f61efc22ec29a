namespace GlmTune.Weights;

/// <summary>Name, element type and shape of a tensor in a weight file, without its data.</summary>
internal sealed class TensorSpec
{
    /// <param name="name">Not empty, and not <c>__metadata__</c>, which the format reserves.</param>
    /// <param name="type">Type of an element.</param>
    /// <param name="shape">Sizes of the dimensions, none negative; empty for a single number. Not copied.</param>
    /// <exception cref="ArgumentException">The name or a size is invalid, or the size in bytes does not fit a
    /// [long].</exception>
    public TensorSpec(string name, ElementType type, params long[] shape)
    {
        if (string.IsNullOrEmpty(name) || name == SafetensorsHeader.MetadataName)
        {
            throw new ArgumentException($"'{name}' is not a valid tensor name.", nameof(name));
        }

        Name = name;
        Type = type;
        Shape = shape;
        ByteCount =
            CountBytes(type, shape)
            ?? throw new ArgumentException(
                $"'{name}' cannot have shape {this}: a size is negative, or it has too many elements.",
                nameof(shape)
            );
    }

    /// <summary>The tensor's name, such as <c>model.norm.weight</c>.</summary>
    public string Name { get; }

    /// <summary>Type of an element.</summary>
    public ElementType Type { get; }

    /// <summary>Sizes of the dimensions, row-major; empty for a single number. Must not be modified.</summary>
    public long[] Shape { get; }

    /// <summary>Size in bytes.</summary>
    public long ByteCount { get; }

    /// <summary>Number of elements.</summary>
    public long ElementCount => ByteCount / Type.ByteSize();

    /// <summary>Type and shape, for messages, such as <c>BF16 [4096, 13696]</c>.</summary>
    public override string ToString() => $"{Type} [{string.Join(", ", Shape)}]";

    internal static long? CountBytes(ElementType type, long[] shape)
    {
        if (Array.Exists(shape, size => size < 0))
        {
            return null;
        }

        // A zero makes the tensor empty, however large its other sizes are.
        if (Array.Exists(shape, size => size == 0))
        {
            return 0;
        }

        Int128 bytes = type.ByteSize();
        foreach (var size in shape)
        {
            bytes *= size;
            if (bytes > long.MaxValue)
            {
                return null;
            }
        }

        return (long)bytes;
    }
}
