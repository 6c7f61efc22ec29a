using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A frozen weight whose rows are stored in parts, one below the other, such as query, key and value that were
/// quantized separately.</summary>
internal sealed class StackedMatrix : FrozenMatrix
{
    private StackedMatrix(IReadOnlyList<FrozenMatrix> parts)
        : base(parts.Sum(part => part.Rows), parts[0].Columns) => Parts = parts;

    /// <summary>The parts, from the first rows to the last.</summary>
    public IReadOnlyList<FrozenMatrix> Parts { get; }

    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors => [.. Parts.SelectMany(part => part.Tensors)];

    /// <summary>Puts parts together. Parts with a scale for each row become one matrix of their kind, which kernels
    /// read at once.</summary>
    /// <param name="parts">At least one, all of the same width, on one device; owned by the result.</param>
    /// <exception cref="ArgumentException">Widths differ.</exception>
    public static FrozenMatrix Of(IReadOnlyList<FrozenMatrix> parts)
    {
        if (parts.Any(part => part.Columns != parts[0].Columns))
        {
            throw new ArgumentException("The parts have different widths.", nameof(parts));
        }

        if (parts.Count == 1)
        {
            return parts[0];
        }

        var joined =
            parts.All(part => part is Fp8Matrix { IsByRows: true }) ? Fp8Matrix.Join([.. parts.Cast<Fp8Matrix>()])
            : parts.All(part => part is Int8Matrix) ? Int8Matrix.Join([.. parts.Cast<Int8Matrix>()])
            : (FrozenMatrix)new StackedMatrix(parts);
        if (joined is not StackedMatrix)
        {
            foreach (var part in parts)
            {
                part.Dispose();
            }
        }

        return joined;
    }

    /// <inheritdoc/>
    public override void WriteTo(Tensor target)
    {
        foreach (var (part, first) in WithFirstRows())
        {
            using var rows = target.narrow(0, first, part.Rows);
            part.WriteTo(rows);
        }
    }

    /// <summary>The parts, each with the index of its first row.</summary>
    public IEnumerable<(FrozenMatrix Part, long FirstRow)> WithFirstRows()
    {
        var first = 0L;
        foreach (var part in Parts)
        {
            yield return (part, first);
            first += part.Rows;
        }
    }
}
