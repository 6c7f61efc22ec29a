namespace GlmTune.Weights.Gguf;

/// <summary>The types of tensors in a GGUF file that this program writes, with the numbers that the format gives
/// them.</summary>
internal enum GgufType
{
    /// <summary>IEEE single precision.</summary>
    F32 = 0,

    /// <summary>IEEE half precision.</summary>
    F16 = 1,

    /// <summary>Blocks of 32 values: a half-precision scale and 4-bit integers.</summary>
    Q4_0 = 2,

    /// <summary>Blocks of 32 values: a half-precision scale and 5-bit integers.</summary>
    Q5_0 = 6,

    /// <summary>Blocks of 32 values: a half-precision scale and 8-bit integers.</summary>
    Q8_0 = 8,

    /// <summary>Blocks of 256 values, in 8 groups: 4-bit integers, with a 6-bit scale and a 6-bit offset for each
    /// group.</summary>
    Q4_K = 12,

    /// <summary>Blocks of 256 values, in 16 groups: 6-bit integers, with an 8-bit scale for each group.</summary>
    Q6_K = 14,

    /// <summary>bfloat16: the upper half of a float32.</summary>
    BF16 = 30,
}

/// <summary>Sizes of <see cref="GgufType"/>.</summary>
internal static class GgufTypes
{
    /// <summary>Number of values in a block, which must divide the length of a row; 1 for plain numbers.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration.</exception>
    public static int BlockLength(this GgufType type) =>
        type switch
        {
            GgufType.F32 or GgufType.F16 or GgufType.BF16 => 1,
            GgufType.Q4_0 or GgufType.Q5_0 or GgufType.Q8_0 => 32,
            GgufType.Q4_K or GgufType.Q6_K => 256,
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of GGUF tensors."),
        };

    /// <summary>Size of a block in bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration.</exception>
    public static int BlockBytes(this GgufType type) =>
        type switch
        {
            GgufType.F32 => 4,
            GgufType.F16 or GgufType.BF16 => 2,
            GgufType.Q4_0 => 18,
            GgufType.Q5_0 => 22,
            GgufType.Q8_0 => 34,
            GgufType.Q4_K => 144,
            GgufType.Q6_K => 210,
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of GGUF tensors."),
        };

    /// <summary>Whether values are stored as small integers with shared scales.</summary>
    public static bool IsQuantized(this GgufType type) => type.BlockLength() > 1;
}
