namespace GlmTune.Weights;

/// <summary>The type of one element of a stored tensor, under the names that safetensors headers use.</summary>
internal enum ElementType
{
    /// <summary>Boolean, one byte.</summary>
    BOOL,

    /// <summary>Unsigned 8-bit integer.</summary>
    U8,

    /// <summary>Signed 8-bit integer.</summary>
    I8,

    /// <summary>8-bit float with 5 exponent bits and 2 mantissa bits.</summary>
    F8_E5M2,

    /// <summary>8-bit float with 4 exponent bits and 3 mantissa bits.</summary>
    F8_E4M3,

    /// <summary>8-bit power of two, as used for block scales.</summary>
    F8_E8M0,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE half precision.</summary>
    F16,

    /// <summary>bfloat16: the upper half of a float32.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE single precision.</summary>
    F32,

    /// <summary>IEEE double precision.</summary>
    F64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,

    /// <summary>Complex number made of two float32 values.</summary>
    C64,
}

/// <summary>Sizes of <see cref="ElementType"/>.</summary>
internal static class ElementTypes
{
    /// <summary>Size of one element in bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration.</exception>
    public static int ByteSize(this ElementType type) =>
        type switch
        {
            ElementType.BOOL or ElementType.U8 or ElementType.I8 => 1,
            ElementType.F8_E5M2 or ElementType.F8_E4M3 or ElementType.F8_E8M0 => 1,
            ElementType.I16 or ElementType.U16 or ElementType.F16 or ElementType.BF16 => 2,
            ElementType.I32 or ElementType.U32 or ElementType.F32 => 4,
            ElementType.F64 or ElementType.I64 or ElementType.U64 or ElementType.C64 => 8,
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not an element type."),
        };
}
