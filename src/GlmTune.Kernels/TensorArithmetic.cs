using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels;

/// <summary>Operators on tensors and numbers that replace those of TorchSharp, which may free a number too
/// early.</summary>
/// <remarks>TorchSharp passes a number as a <see cref="Scalar"/>: an object with a finalizer, whose native pointer goes
/// to libtorch while nothing references the object. A garbage collection at that moment frees the number while libtorch
/// reads it: the operator fails ("Unknown scalar type"), or computes with whatever the memory then contains.
/// <c>x.add_(y)</c> and <c>x + y</c> also create a scalar, the implicit factor 1. Here, every scalar lives until the
/// call has returned. TorchSharp's own forms are listed in <c>BannedSymbols.txt</c> and do not compile in this
/// repository; see docs/upstream/torchsharp-scalar.md. <para>Names are TorchSharp's in .NET's casing, with
/// <c>InPlace</c> for a trailing underscore. As in TorchSharp, an in-place operator returns the tensor it was called
/// on, any other operator a new tensor in the current dispose scope. Errors are libtorch's
/// (<see cref="ExternalException"/>).</para></remarks>
internal static class TensorArithmetic
{
    // Never freed: a static field references it for the lifetime of the program.
    private static readonly Scalar One = ((Number)1).ToScalar();

    /// <summary>x + y, element-wise.</summary>
    public static Tensor Add(this Tensor x, Tensor y) => x.add(y, One);

    // Preferred, because TorchSharp also converts a number to a tensor.
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

    /// <summary>x ← x + factor · a · b, with a single rounding where libtorch supports it (addcmul_).</summary>
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

    /// <summary>x / number; a floating-point tensor even for integers.</summary>
    public static Tensor Divide(this Tensor x, Number number)
    {
        using var scalar = number.ToScalar();
        return x.div(scalar);
    }

    /// <summary>The remainder of x divided by number, with the sign of number.</summary>
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

    /// <summary>Sets every element of x to number.</summary>
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

    /// <summary>Sets the elements of x where mask is true to number.</summary>
    public static Tensor MaskedFillInPlace(this Tensor x, Tensor mask, Number number)
    {
        using var scalar = number.ToScalar();
        return x.masked_fill_(mask, scalar);
    }

    /// <summary>Adds the rows of source to the rows of x that index names, along dimension dim.</summary>
    public static Tensor IndexAddInPlace(this Tensor x, long dim, Tensor index, Tensor source) =>
        x.index_add_(dim, index, source, One);

    /// <summary>A tensor with x's shape and device, and x's type unless another is given, filled with number.</summary>
    public static Tensor FullLike(this Tensor x, Number number, ScalarType? type = null)
    {
        using var scalar = number.ToScalar();
        return x.full_like(scalar, type);
    }
}
