using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>What a kernel needs of its inputs, as a list of named conditions; the first one that does not hold is
/// kept.</summary>
/// <remarks>All conditions of a list are evaluated, so each must be safe where an earlier one does not hold. Nothing is
/// allocated.</remarks>
internal readonly struct KernelGuard
{
    private KernelGuard(string kernel, string? unmet) => (Kernel, Unmet) = (kernel, unmet);

    /// <summary>The kernel.</summary>
    public string Kernel { get; }

    /// <summary>The first condition that does not hold; null: the kernel can be taken.</summary>
    public string? Unmet { get; }

    /// <summary>Whether all conditions hold.</summary>
    public bool Holds => Unmet is null;

    /// <summary>An empty list.</summary>
    public static KernelGuard For(string kernel) => new(kernel, null);

    /// <summary>Adds a condition.</summary>
    /// <param name="holds">Whether it holds.</param>
    /// <param name="need">What the kernel needs, to follow "needs": "a head dimension of 64 or 128".</param>
    public KernelGuard Needs(bool holds, string need) => holds || !Holds ? this : new(Kernel, need);

    /// <summary>Inputs (nulls aside) that can be read in 16-byte accesses: of one type that kernels compute in,
    /// contiguous, and aligned.</summary>
    public KernelGuard NeedsVectors(ScalarType type, params ReadOnlySpan<Tensor?> inputs)
    {
        if (!Holds)
        {
            return this;
        }

        foreach (var input in inputs)
        {
            if (input is null)
            {
                continue;
            }

            var need =
                KernelTensor.TypeOf(input) != type ? "inputs of one type"
                : !KernelTensor.IsContiguous(input) ? "contiguous inputs"
                : !KernelTensor.IsAligned(input) ? "inputs that start at a multiple of 16 bytes"
                : null;
            if (need is not null)
            {
                return new(Kernel, need);
            }
        }

        return Needs(KernelTensor.IsKnown(type), "inputs in bfloat16, float16 or float32");
    }

    /// <summary>Contiguous inputs, nulls aside, of whatever type.</summary>
    public KernelGuard NeedsContiguous(params ReadOnlySpan<Tensor?> inputs)
    {
        foreach (var input in inputs)
        {
            if (Holds && input is not null && !KernelTensor.IsContiguous(input))
            {
                return new(Kernel, "contiguous inputs");
            }
        }

        return this;
    }

    /// <summary>Rows of whole 16-byte pieces.</summary>
    /// <param name="type">Type of the elements.</param>
    /// <param name="width">Elements of a row.</param>
    public KernelGuard NeedsWholeVectors(ScalarType type, int width) =>
        Needs(width % KernelTensor.VectorWidth(type) == 0, "rows that are a multiple of 16 bytes");
}
