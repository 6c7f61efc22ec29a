using TorchSharp;

namespace GlmTune.Kernels.Cuda;

/// <summary>Identifies a kernel and its compile-time options.</summary>
/// <param name="Source">Name of the embedded file, without extension.</param>
/// <param name="Function">Name of the kernel in it.</param>
/// <param name="Scalar">The type of <c>SCALAR</c>.</param>
/// <param name="Option">A second macro required by the source; null: none.</param>
/// <param name="Value">Value of that macro; for <c>COMPUTE</c>, an element type.</param>
internal readonly record struct KernelName(
    string Source,
    string Function,
    torch.ScalarType Scalar,
    string? Option = null,
    int Value = 0
)
{
    private static readonly string[] UseMatrixUnits =
    [
        "project",
        "project_quantized",
        "decode_attention",
        "low_rank",
        "mixed_low_rank",
    ];
    private static readonly string[] ReadNf4 = ["dequantize", "project_quantized"];
    private static readonly string[] DrawWords = ["dropout", "low_rank", "compact_adamw", "accumulate"];

    // Kernels that start with let_next_start and wait_for_previous.
    private static readonly string[] Overlap =
    [
        "rms_norm",
        "rotate_and_cache",
        "decode_attention",
        "join_parts",
        "swiglu",
        "project",
        "project_swiglu",
        "argmax",
        "mixed_down",
        "mixed_up",
    ];

    /// <summary>Whether it may start while the previous kernel is still running.</summary>
    public bool Overlaps => Overlap.Contains(Function);

    /// <summary>Names of all embedded sources.</summary>
    public static IEnumerable<string> Sources =>
        typeof(KernelName)
            .Assembly.GetManifestResourceNames()
            .Where(name => name.EndsWith(".cu", StringComparison.Ordinal))
            .Select(name => name[..^3]);

    /// <summary>The macros, as compiler options.</summary>
    public string[] Macros
    {
        get
        {
            var scalar = $"-DSCALAR={TypeName(Scalar)}";
            return Option is null
                ? [scalar]
                : [scalar, $"-D{Option}={(Option == "COMPUTE" ? TypeName((torch.ScalarType)Value) : Value)}"];
        }
    }

    /// <summary>The complete text to compile.</summary>
    public string Text =>
        Read("common.cuh")
        + (UseMatrixUnits.Contains(Source) ? Read("matrix.cuh") : "")
        + (ReadNf4.Contains(Source) ? Read("nf4.cuh") : "")
        + (DrawWords.Contains(Source) ? Read("mask.cuh") : "")
        + Read(Source + ".cu");

    private static string TypeName(torch.ScalarType type) =>
        type switch
        {
            torch.ScalarType.BFloat16 => "bf16",
            torch.ScalarType.Float16 => "f16",
            torch.ScalarType.Float32 => "float",
            _ => throw new ArgumentException($"The kernels do not support {type}.", nameof(type)),
        };

    private static string Read(string name)
    {
        using var stream =
            typeof(KernelName).Assembly.GetManifestResourceStream(name)
            ?? throw new MissingManifestResourceException(name);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private sealed class MissingManifestResourceException(string name)
        : Exception($"The kernel source '{name}' is not in the assembly.");
}
