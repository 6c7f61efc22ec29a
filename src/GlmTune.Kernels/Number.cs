using TorchSharp;

namespace GlmTune.Kernels;

/// <summary>A number passed to an operator together with tensors.</summary>
/// <remarks>Integers, floating-point numbers and Booleans keep their kind, because libtorch's type promotion depends on
/// it: an integer tensor times <c>2</c> stays an integer tensor, times <c>2.0</c> it becomes a floating-point tensor.
/// <para>This is not TorchSharp's <see cref="Scalar"/>, which owns native memory and whose finalizer may free that
/// memory while libtorch reads it: see <see cref="TensorArithmetic"/>.</para></remarks>
internal readonly struct Number
{
    private readonly Kind kind;
    private readonly double floating;
    private readonly long integer;

    private Number(Kind kind, double floating, long integer)
    {
        this.kind = kind;
        this.floating = floating;
        this.integer = integer;
    }

    private enum Kind
    {
        Integer,
        Floating,
        Boolean,
    }

    /// <summary>An integer.</summary>
    public static implicit operator Number(long value) => new(Kind.Integer, 0, value);

    /// <summary>A floating-point number.</summary>
    public static implicit operator Number(double value) => new(Kind.Floating, value, 0);

    /// <summary>A Boolean.</summary>
    public static implicit operator Number(bool value) => new(Kind.Boolean, 0, value ? 1 : 0);

    /// <summary>A new scalar with this value. The caller disposes it after libtorch's call, which also keeps it alive
    /// until then.</summary>
#pragma warning disable RS0030 // The only place that creates scalars; its callers hold them.
    internal Scalar ToScalar() =>
        kind switch
        {
            Kind.Floating => floating.ToScalar(),
            Kind.Boolean => (integer != 0).ToScalar(),
            _ => integer.ToScalar(),
        };
#pragma warning restore RS0030
}
