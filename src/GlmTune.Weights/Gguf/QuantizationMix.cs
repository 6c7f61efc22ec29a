using System.Text.RegularExpressions;

namespace GlmTune.Weights.Gguf;

/// <summary>What a file is called by the type of most of its matrices.</summary>
internal enum GgufFileType
{
    /// <summary>All in single precision.</summary>
    F32 = 0,

    /// <summary>Matrices in half precision.</summary>
    F16 = 1,

    /// <summary>Matrices in 4 bits with one scale in 32 values; the output head in 6 bits.</summary>
    Q4_0 = 2,

    /// <summary>Matrices in 8 bits with one scale in 32 values.</summary>
    Q8_0 = 7,

    /// <summary>Matrices in 4 bits with two levels of scales; those that matter most in 6 bits.</summary>
    Q4_K_M = 15,

    /// <summary>Matrices in bfloat16.</summary>
    BF16 = 32,
}

/// <summary>Which type each tensor of a model has in a file of a given type, by llama.cpp's rules.</summary>
/// <remarks>Vectors are always in single precision. In Q4_0 and Q4_K_M the output head is Q6_K, and where head and
/// embedding are one tensor, that is. In Q4_K_M the tensors with the values' projection and the feed-forward blocks'
/// second matrices are Q6_K in the first eighth of the layers, in the last, and in every third layer between. Rows that
/// do not consist of whole blocks get a type with smaller blocks and at least as many bits.</remarks>
/// <param name="file">Type of the file.</param>
/// <param name="layers">Number of layers of the model.</param>
/// <param name="tied">Whether the output head is the embedding.</param>
internal sealed partial class QuantizationMix(GgufFileType file, int layers, bool tied)
{
    /// <summary>Chooses a tensor's type.</summary>
    /// <param name="name">Its name in the file, such as <c>blk.0.ffn_down.weight</c>.</param>
    /// <param name="shape">Its shape, row-major.</param>
    /// <returns>The type, and the type that the rules name if its blocks do not fit into the rows; else null.</returns>
    public (GgufType Type, GgufType? InsteadOf) TypeOf(string name, long[] shape)
    {
        if (shape.Length < 2)
        {
            return (GgufType.F32, null);
        }

        var wanted = Wanted(name);
        var type = wanted;
        while (shape[^1] % type.BlockLength() != 0)
        {
            type = Smaller(type);
        }

        return (type, type == wanted ? null : wanted);
    }

    private GgufType Wanted(string name) =>
        file switch
        {
            GgufFileType.F32 => GgufType.F32,
            GgufFileType.F16 => GgufType.F16,
            GgufFileType.BF16 => GgufType.BF16,
            GgufFileType.Q8_0 => GgufType.Q8_0,
            _ when name == (tied ? "token_embd.weight" : "output.weight") => GgufType.Q6_K,
            GgufFileType.Q4_K_M => Layer().Match(name) is { Success: true } match && HasMoreBits(LayerIn(match))
                ? GgufType.Q6_K
                : GgufType.Q4_K,
            GgufFileType.Q4_0 => GgufType.Q4_0,
            _ => throw new InvalidOperationException($"{file} is not a type of files."),
        };

    private bool HasMoreBits(int layer) =>
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - (layers / 8)) % 3 == 2;

    private static int LayerIn(Match match) =>
        int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);

    private static GgufType Smaller(GgufType type) =>
        type switch
        {
            GgufType.Q4_K => GgufType.Q5_0,
            GgufType.Q6_K => GgufType.Q8_0,
            _ => GgufType.F16,
        };

    [GeneratedRegex(@"^blk\.(\d+)\.(?:attn_v|attn_qkv|ffn_down)\.weight$")]
    private static partial Regex Layer();
}
