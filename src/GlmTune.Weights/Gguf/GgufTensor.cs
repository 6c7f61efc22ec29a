namespace GlmTune.Weights.Gguf;

/// <summary>Name, type and shape of a tensor in a GGUF file, without its data.</summary>
internal sealed class GgufTensor
{
    /// <param name="name">The tensor's name, such as <c>blk.0.attn_q.weight</c>.</param>
    /// <param name="type">Type of its blocks.</param>
    /// <param name="shape">Sizes of the dimensions, row-major, as in the model; the file has them in reverse order. Not
    /// copied.</param>
    /// <exception cref="ArgumentException">The name is longer than readers accept, a size is not positive, there are
    /// more than four dimensions, or a row does not consist of whole blocks.</exception>
    public GgufTensor(string name, GgufType type, params long[] shape)
    {
        if (string.IsNullOrEmpty(name) || name.Length > LongestName)
        {
            throw new ArgumentException($"'{name}' is not a valid tensor name.", nameof(name));
        }

        if (shape.Length is 0 or > 4 || Array.Exists(shape, size => size <= 0) || shape[^1] % type.BlockLength() != 0)
        {
            throw new ArgumentException(
                $"'{name}' cannot be {type} with shape [{string.Join(", ", shape)}].",
                nameof(shape)
            );
        }

        (Name, Type, Shape) = (name, type, shape);
        var blocks = shape.Aggregate(1L, (product, size) => checked(product * size)) / type.BlockLength();
        ByteCount = checked(blocks * type.BlockBytes());
    }

    /// <summary>The tensor's name.</summary>
    public string Name { get; }

    /// <summary>Type of its blocks.</summary>
    public GgufType Type { get; }

    /// <summary>Sizes of the dimensions, row-major. Must not be modified.</summary>
    public long[] Shape { get; }

    /// <summary>Size in bytes.</summary>
    public long ByteCount { get; }

    /// <summary>Type and shape, for messages, such as <c>Q8_0 [4096, 13696]</c>.</summary>
    public override string ToString() => $"{Type} [{string.Join(", ", Shape)}]";

    // llama.cpp has 64 bytes for a name and its terminator.
    private const int LongestName = 63;
}
