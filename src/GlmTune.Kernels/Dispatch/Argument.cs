using static TorchSharp.torch;

namespace GlmTune.Kernels.Dispatch;

/// <summary>One argument of an <see cref="AtenOperator"/>; converts implicitly from a tensor, number, text, type,
/// device or list.</summary>
/// <remarks>A list consists of tensors, of integers, or of floats. Whether a value is optional is determined by the
/// schema, not by the caller.</remarks>
internal readonly struct Argument
{
    private Argument(ArgumentKind kind, long bits = 0, object? reference = null)
    {
        Kind = kind;
        Bits = bits;
        Reference = reference;
    }

    /// <summary>No value, for an optional parameter.</summary>
    public static Argument None => default;

    /// <summary>An undefined tensor, where the schema says <c>Tensor</c> and not <c>Tensor?</c>.</summary>
    public static Argument Undefined => new(ArgumentKind.Tensor);

    internal ArgumentKind Kind { get; }

    internal long Bits { get; }

    internal object? Reference { get; }

    /// <summary>A tensor; null is <see cref="None"/>.</summary>
    public static implicit operator Argument(Tensor? value) =>
        value is null ? None : new(ArgumentKind.Tensor, 0, value);

    /// <summary>An integer.</summary>
    public static implicit operator Argument(long value) => new(ArgumentKind.Integer, value);

    /// <summary>A float.</summary>
    public static implicit operator Argument(double value) =>
        new(ArgumentKind.Float, BitConverter.DoubleToInt64Bits(value));

    /// <summary>A Boolean.</summary>
    public static implicit operator Argument(bool value) => new(ArgumentKind.Boolean, value ? 1 : 0);

    /// <summary>Text.</summary>
    public static implicit operator Argument(string value) => new(ArgumentKind.Text, 0, value);

    /// <summary>An element type.</summary>
    public static implicit operator Argument(ScalarType value) => new(ArgumentKind.ScalarType, (long)value);

    /// <summary>A device.</summary>
    public static implicit operator Argument(Device value) =>
        new(ArgumentKind.Device, ((long)value.type << 32) | (uint)value.index);

    /// <summary>A list of tensors.</summary>
    public static implicit operator Argument(Tensor[] values) =>
        new(ArgumentKind.List, (long)ArgumentKind.Tensor, values);

    /// <summary>A list of integers.</summary>
    public static implicit operator Argument(long[] values) =>
        new(ArgumentKind.List, (long)ArgumentKind.Integer, values);

    /// <summary>A list of floats.</summary>
    public static implicit operator Argument(double[] values) =>
        new(ArgumentKind.List, (long)ArgumentKind.Float, values);

    /// <summary>The argument with tensors of the same types and shapes on libtorch's meta device, which uses no memory;
    /// in the current dispose scope.</summary>
    internal Argument WithoutMemory() =>
        Reference switch
        {
            Tensor tensor => tensor.to(META),
            Tensor[] tensors => Array.ConvertAll(tensors, tensor => tensor.to(META)),
            _ => this,
        };

    internal string Describe() =>
        Kind switch
        {
            ArgumentKind.Tensor when Reference is Tensor tensor =>
                $"{tensor.dtype} [{string.Join(", ", tensor.shape)}] on {tensor.device}",
            ArgumentKind.Tensor => "an undefined tensor",
            ArgumentKind.Float => BitConverter.Int64BitsToDouble(Bits).ToString("R", null),
            ArgumentKind.Text => $"\"{Reference}\"",
            ArgumentKind.Boolean => Bits != 0 ? "true" : "false",
            ArgumentKind.List => $"a list of {((Array)Reference!).Length}",
            ArgumentKind.None => "None",
            ArgumentKind.ScalarType => ((ScalarType)Bits).ToString(),
            _ => Bits.ToString("D", null),
        };
}

/// <summary>The kinds of parameters and arguments.</summary>
internal enum ArgumentKind
{
    None,
    Tensor,
    Integer,
    Float,
    Boolean,
    Text,
    ScalarType,
    Device,
    List,
}
