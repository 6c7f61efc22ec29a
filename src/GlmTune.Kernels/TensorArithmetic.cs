using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels;

/// <summary>Operators on tensors and numbers, in place of those of TorchSharp that free a number too early.</summary>
/// <remarks>
/// TorchSharp passes a number as a <see cref="Scalar"/>: an object with a finalizer, whose native pointer goes to
/// libtorch and which nothing refers to during the call. A garbage collection at that moment frees the number while
/// libtorch reads it: the operator fails ("Unknown scalar type"), or computes with whatever the memory holds by then.
/// <c>x.add_(y)</c> and <c>x + y</c> make a scalar too, the hidden factor 1. Here every scalar lives until the call has
/// returned. TorchSharp's own forms are listed in <c>BannedSymbols.txt</c> and do not compile in this repository; see
/// docs/upstream/torchsharp-scalar.md.
/// <para>Names are TorchSharp's in .NET's casing, with <c>InPlace</c> for a trailing underscore. As with TorchSharp's,
/// an operator in place returns the very tensor it was called on, any other a new one in the current dispose scope.
/// Errors are libtorch's (<see cref="ExternalException"/>).</para>
/// </remarks>
public static class TensorArithmetic
{
    // Nothing frees it: a static field refers to it for as long as the program runs.
    private static readonly Scalar One = ((Number)1).ToScalar();

    /// <summary>x + y, element by element.</summary>
    public static Tensor Add(this Tensor x, Tensor y) => x.add(y, One);

    // Preferred, because TorchSharp also turns a number into a tensor.
    /// <summary>x + number.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor Add(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.add(scalar, One);
    }

    /// <summary>x ← x + y.</summary>
    public static Tensor AddInPlace(this Tensor x, Tensor y) => x.add_(y, One);

    /// <summary>x ← x + factor · y.</summary>
    public static Tensor AddInPlace(this Tensor x, Tensor y, Number factor)
    {
        using var scalar = factor.ToScalar();
        return x.add_(y, scalar);
    }

    /// <summary>x ← x + number.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor AddInPlace(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.add_(scalar, One);
    }

    /// <summary>x ← x + factor · a · b, with one rounding where libtorch has it so (addcmul_).</summary>
    public static Tensor AddProductInPlace(this Tensor x, Tensor a, Tensor b, Number factor)
    {
        using var scalar = factor.ToScalar();
        return x.addcmul_(a, b, scalar);
    }

    /// <summary>x ← x + factor · a / b (addcdiv_).</summary>
    public static Tensor AddQuotientInPlace(this Tensor x, Tensor a, Tensor b, Number factor)
    {
        using var scalar = factor.ToScalar();
        return x.addcdiv_(a, b, scalar);
    }

    /// <summary>x · number.</summary>
    public static Tensor Multiply(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.mul(scalar);
    }

    /// <summary>x ← x · number.</summary>
    public static Tensor MultiplyInPlace(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.mul_(scalar);
    }

    /// <summary>x / number; of integers too a floating-point tensor.</summary>
    public static Tensor Divide(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.div(scalar);
    }

    /// <summary>What is left of x divided by number, with the sign of number.</summary>
    public static Tensor Remainder(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.remainder(scalar);
    }

    /// <summary>x · x.</summary>
    public static Tensor Square(this Tensor x) => x.mul(x);

    /// <summary>Whether x &gt; number.</summary>
    public static Tensor GreaterThan(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.gt(scalar);
    }

    /// <summary>Whether x ≥ number.</summary>
    public static Tensor GreaterOrEqual(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.ge(scalar);
    }

    /// <summary>max(x, least).</summary>
    public static Tensor ClampMin(this Tensor x, Number least)
    {
        using var scalar = least.ToScalar();
        return x.clamp_min(scalar);
    }

    /// <summary>x ← min(x, most).</summary>
    public static Tensor ClampMaxInPlace(this Tensor x, Number most)
    {
        using var scalar = most.ToScalar();
        return x.clamp_max_(scalar);
    }

    /// <summary>x ← min(max(x, least), most).</summary>
    public static Tensor ClampInPlace(this Tensor x, Number least, Number most)
    {
        using var lower = least.ToScalar();
        using var upper = most.ToScalar();
        return x.clamp_(lower, upper);
    }

    /// <summary>Every element of x ← number.</summary>
    public static Tensor FillInPlace(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.fill_(scalar);
    }

    /// <summary>x with number where mask is true.</summary>
    public static Tensor MaskedFill(this Tensor x, Tensor mask, Number number)
    {
        using var scalar = number.ToScalar();
        return x.masked_fill(mask, scalar);
    }

    /// <summary>Elements of x where mask is true ← number.</summary>
    public static Tensor MaskedFillInPlace(this Tensor x, Tensor mask, Number number)
    {
        using var scalar = number.ToScalar();
        return x.masked_fill_(mask, scalar);
    }

    /// <summary>Adds the rows of source to the rows of x that index names, along dimension dim.</summary>
    public static Tensor IndexAddInPlace(this Tensor x, long dim, Tensor index, Tensor source) =>
        x.index_add_(dim, index, source, One);

    /// <summary>A tensor of x's shape and device, of x's type unless another is given, filled with number.</summary>
    public static Tensor FullLike(this Tensor x, Number number, ScalarType? type = null)
    {
        using var scalar = number.ToScalar();
        return x.full_like(scalar, type);
    }
}
