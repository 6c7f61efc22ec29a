using System.Globalization;
using GlmTune.Model;

namespace GlmTune.Recipes.Planning;

/// <summary>The longest row that can be trained, for ways of training and sizes of GPUs, according to
/// <see cref="MemoryPlan"/>.</summary>
internal static class FitTable
{
    private const int MaxTokens = 131_072;
    private const int MinTokens = 256;

    // What the driver takes, and what the prediction may be off.
    private const double Usable = 0.97;
    private const string Recompute = "training_args.gradient_checkpointing=true";
    private const string HostEmbedding = "training_args.offload_embedding=true";
    private const string HostInputs = "training_args.offload_activations=true";
    private const string HostOptimizer = "training_args.offload_optimizer=true";
    private const string HostWeights = "training_args.offload_param=true";

    /// <summary>Sizes of GPUs in GB, as they are sold: 2³⁰ bytes, of which 97 % count.</summary>
    public static IReadOnlyList<int> Cards { get; } = [8, 12, 16, 24, 40, 80];

    /// <summary>Ways of training: a recipe that comes with the program, and the settings that save memory without
    /// changing results.</summary>
    public static IReadOnlyList<(string Method, string Recipe, string[] Settings)> Methods { get; } =
    [
        ("LoRA", "lora-24g", [Recompute, HostEmbedding]),
        ("LoRA, layer inputs in host memory", "long-128k", [HostEmbedding, HostInputs]),
        ("LoRA over weights in 4 bits (QLoRA)", "qlora-12g", [Recompute, HostEmbedding]),
        ("QLoRA, layer inputs in host memory", "qlora-12g", [HostEmbedding, HostInputs]),
        ("P-Tuning v2", "ptuning_v2", [Recompute, HostEmbedding]),
        ("all weights, one-byte moments", "sft-one-gpu", [Recompute]),
        ("all weights, optimizer in host memory", "sft-one-gpu", [Recompute, HostOptimizer]),
        (
            "all weights, optimizer, weights and layer inputs in host memory",
            "sft-one-gpu",
            [HostOptimizer, HostWeights, HostInputs]
        ),
    ];

    /// <summary>The longest row that fits: a power of two from 256 to 131,072 tokens; null: not even the
    /// shortest.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="recipe">Name of a recipe.</param>
    /// <param name="settings">Further settings.</param>
    /// <param name="bytes">Memory of the GPU.</param>
    public static int? Longest(ModelConfig config, string recipe, IReadOnlyList<string> settings, long bytes)
    {
        int? longest = null;
        for (var tokens = MinTokens; tokens <= MaxTokens && Fits(config, recipe, settings, tokens, bytes); tokens *= 2)
        {
            longest = tokens;
        }

        return longest;
    }

    /// <summary>The table in Markdown.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="translate">Translates the names of the methods and the first headings.</param>
    public static IEnumerable<string> Lines(ModelConfig config, Func<string, string> translate)
    {
        yield return $"| {translate("method")} | {translate("recipe")} | "
            + $"{string.Join(" | ", Cards.Select(card => $"{card} GB"))} |";
        yield return $"| --- | --- |{string.Concat(Cards.Select(_ => " --- |"))}";
        foreach (var (method, recipe, settings) in Methods)
        {
            var cells = Cards.Select(card =>
                Cell(Longest(config, recipe, settings, (long)(card * Usable * (1L << 30))))
            );
            yield return $"| {translate(method)} | `{recipe}` | {string.Join(" | ", cells)} |";
        }
    }

    private static string Cell(int? tokens) =>
        tokens is { } count ? count.ToString("N0", CultureInfo.InvariantCulture) : "–";

    // One row in a pass; the lengths of prompt and answer share it.
    private static bool Fits(ModelConfig config, string recipe, IReadOnlyList<string> settings, int tokens, long bytes)
    {
        var shipped = ShippedRecipes.Named(recipe);
        using var text = new StringReader(shipped.Text);
        string[] overrides =
        [
            .. settings,
            string.Create(CultureInfo.InvariantCulture, $"max_input_length={tokens / 2}"),
            string.Create(CultureInfo.InvariantCulture, $"max_output_length={(tokens / 2) - 1}"),
            "training_args.per_device_train_batch_size=1",
            "training_args.packing=false",
        ];
        return PlanRun.Of(RecipeFile.Read(text, shipped.Name, overrides), config, 1, bytes).Fits;
    }
}
