using System.Runtime.InteropServices;
using GlmTune.Weights.Gguf;
using LLama.Native;

namespace GlmTune.Interop.Tests;

/// <summary>llama.cpp's own encoders and decoders of blocks.</summary>
internal static unsafe class LlamaCpp
{
    // The library that the loaded one needs is found by its name alone.
    private static readonly Lazy<nint> Base = new(() =>
    {
        NativeApi.llama_empty_call();
        NativeLogConfig.llama_log_set((NativeLogConfig.LLamaLogCallback)((_, _) => { }));
        return NativeLibrary.Load(
            OperatingSystem.IsWindows() ? "ggml-base.dll"
            : OperatingSystem.IsMacOS() ? "libggml-base.dylib"
            : "libggml-base.so"
        );
    });

    /// <summary>Loads the native libraries; nothing else may come first.</summary>
    public static void Load() => _ = Base.Value;

    /// <summary>What llama.cpp reads from blocks.</summary>
    public static float[] Decode(GgufType type, byte[] blocks, int count)
    {
        var values = new float[count];
        var decode = (delegate* unmanaged<byte*, float*, long, void>)Export($"dequantize_row_{NameOf(type)}");
        fixed (byte* from = blocks)
        {
            fixed (float* to = values)
            {
                decode(from, to, count);
            }
        }

        return values;
    }

    /// <summary>The blocks that llama.cpp writes.</summary>
    public static byte[] Encode(GgufType type, float[] values)
    {
        var blocks = new byte[values.Length / type.BlockLength() * type.BlockBytes()];
        var encode = (delegate* unmanaged<float*, byte*, long, void>)Export($"quantize_row_{NameOf(type)}_ref");
        fixed (float* from = values)
        {
            fixed (byte* to = blocks)
            {
                encode(from, to, values.Length);
            }
        }

        return blocks;
    }

    private static nint Export(string name) => NativeLibrary.GetExport(Base.Value, name);

    private static string NameOf(GgufType type) =>
        type is GgufType.Q4_K or GgufType.Q6_K ? type.ToString().Replace('Q', 'q') : type.ToString().ToLowerInvariant();
}
