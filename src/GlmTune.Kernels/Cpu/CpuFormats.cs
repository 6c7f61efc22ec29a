using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GlmTune.Kernels.Cpu;

/// <summary>Numbers in memory that are computed with in float32.</summary>
internal unsafe interface ICpuFormat
{
    /// <summary>Bytes of a number.</summary>
    static abstract int Size { get; }

    /// <summary>Eight neighboring numbers.</summary>
    /// <param name="first">Address of the first number of all.</param>
    /// <param name="index">Index of the first of the eight.</param>
    static abstract Vector256<float> Load(void* first, long index);
}

/// <summary>Numbers that results can have as well.</summary>
internal unsafe interface ICpuNumbers : ICpuFormat
{
    /// <summary>Reads one number.</summary>
    static abstract float Read(void* first, long index);

    /// <summary>Writes one number, rounded to the nearest.</summary>
    static abstract void Write(void* first, long index, float value);

    /// <summary>The nearest number of the format.</summary>
    static abstract float Round(float value);
}

/// <summary>float32.</summary>
internal readonly unsafe struct CpuFloat32 : ICpuNumbers
{
    public static int Size => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(void* first, long index) => Vector256.Load((float*)first + index);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(void* first, long index) => ((float*)first)[index];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(void* first, long index, float value) => ((float*)first)[index] = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Round(float value) => value;
}

/// <summary>bfloat16: the upper half of a float32.</summary>
internal readonly unsafe struct CpuBFloat16 : ICpuNumbers
{
    public static int Size => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(void* first, long index)
    {
        var half = Vector128.Load((ushort*)first + index);
        var wide = Avx2.IsSupported
            ? Avx2.ConvertToVector256Int32(half)
            : Vector256.Create(Vector128.WidenLower(half), Vector128.WidenUpper(half)).AsInt32();
        return Vector256.ShiftLeft(wide, 16).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(void* first, long index) =>
        BitConverter.UInt32BitsToSingle((uint)((ushort*)first)[index] << 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(void* first, long index, float value) => ((ushort*)first)[index] = Bits(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Round(float value) => BitConverter.UInt32BitsToSingle((uint)Bits(value) << 16);

    // Of two that are equally near, the even one; NaN stays NaN.
    private static ushort Bits(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)0x7FC0 : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}

/// <summary>8-bit integers.</summary>
internal readonly unsafe struct CpuInt8 : ICpuFormat
{
    public static int Size => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(void* first, long index)
    {
        var bytes = Vector128.CreateScalarUnsafe(*(ulong*)((sbyte*)first + index)).AsSByte();
        if (Avx2.IsSupported)
        {
            return Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(bytes));
        }

        var half = Vector128.WidenLower(bytes);
        return Vector256.ConvertToSingle(Vector256.Create(Vector128.WidenLower(half), Vector128.WidenUpper(half)));
    }
}
