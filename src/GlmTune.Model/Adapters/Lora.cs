using System.Text.RegularExpressions;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>A LoRA adapter on a whole model: which layers it sits on, and its parameters.</summary>
public sealed class Lora : IDisposable
{
    private readonly List<LowRankAdapter> adapters = [];

    private Lora(LoraOptions options, CheckpointLayout layout) => (Options, Layout) = (options, layout);

    /// <summary>What it was made from.</summary>
    public LoraOptions Options { get; }

    /// <summary>Layout whose names its tensors carry.</summary>
    public CheckpointLayout Layout { get; }

    /// <summary>All deltas, in the order of the forward pass.</summary>
    public IEnumerable<LowRankDelta> Deltas => adapters.SelectMany(adapter => adapter.Deltas);

    /// <summary>All parameters of the deltas.</summary>
    public IEnumerable<Parameter> Parameters => adapters.SelectMany(adapter => adapter.Parameters);

    /// <summary>Puts deltas on the layers that the options name, and freezes everything else.</summary>
    /// <param name="model">Gets the adapter; the adapter must outlive its use.</param>
    /// <param name="options">Ranks, targets and so on.</param>
    /// <param name="layout">Layout in which targets are named; null: the model's.</param>
    /// <exception cref="InvalidDataException">No layer is named by the targets.</exception>
    public static Lora Attach(Glm4Model model, LoraOptions options, CheckpointLayout? layout = null)
    {
        var names = layout ?? model.Config.Layout;
        var lora = new Lora(options, names);
        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = false;
        }
        var linears = Glm4WeightNames.Linears(model, names).ToList();
        var targets = options.TargetModules ?? DefaultTargets(names);
        var chosen = linears.Where(slice => IsTarget(slice, targets)).ToList();
        if (chosen.Count == 0)
        {
            var modules = linears.Select(slice => slice.Name.Split('.')[^1]).Distinct();
            throw new InvalidDataException(
                $"target_modules '{targets}' names no layer of this model. Its linear layers end in: {string.Join(", ", modules)}.");
        }
        foreach (var group in chosen.GroupBy(slice => slice.Linear))
        {
            var parts = group.Select(slice => (slice, RankOf(slice.Name, options), ScaleOf(slice.Name, options))).ToList();
            var adapter = new LowRankAdapter(group.Key, parts, options.Dropout);
            group.Key.Attach(adapter);
            lora.adapters.Add(adapter);
        }
        return lora;
    }

    /// <summary>The targets that PEFT takes for this architecture when none are named.</summary>
    public static LoraTargets DefaultTargets(CheckpointLayout layout)
        => layout == CheckpointLayout.Original ? LoraTargets.FromNames("query_key_value") : LoraTargets.FromNames("q_proj", "k_proj", "v_proj");

    /// <summary>Draws the starting values; with the default and Gaussian ways the adapter changes nothing yet.</summary>
    /// <param name="seed">With a parameter's name, decides its numbers.</param>
    public void Initialize(long seed)
    {
        using var scope = NewDisposeScope();
        foreach (var delta in Deltas)
        {
            var bound = 1 / Math.Sqrt(delta.A.Shape[1]);
            var a = Options.InitWeights == LoraInitialization.Gaussian
                ? SeededRandom.Normal(delta.A, seed, 1.0 / delta.LoraRank)
                : SeededRandom.Uniform(delta.A, seed, bound);
            delta.A.Value.copy_(a);
            if (Options.InitWeights == LoraInitialization.Random)
            {
                delta.B.Value.copy_(SeededRandom.Uniform(delta.B, seed, 1 / Math.Sqrt(delta.LoraRank)));
            }
            else
            {
                delta.B.Value.zero_();
            }
        }
    }

    /// <summary>Takes this adapter off the layers of <paramref name="model"/>.</summary>
    public void Detach(Glm4Model model)
    {
        foreach (var slice in Glm4WeightNames.Linears(model, Layout))
        {
            slice.Linear.Detach(adapters);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var adapter in adapters)
        {
            adapter.Dispose();
        }
    }

    /// <summary>Whether a linear layer is meant by the targets, by PEFT's rules.</summary>
    public static bool IsTarget(LinearSlice slice, LoraTargets targets)
        => targets.IsAllLinear ? !slice.IsHead
            : targets.Pattern is { } pattern ? Regex.IsMatch(slice.Name, $"^(?:{pattern})$", RegexOptions.CultureInvariant)
            : targets.Names!.Any(name => slice.Name == name || slice.Name.EndsWith("." + name, StringComparison.Ordinal));

    private static int RankOf(string module, LoraOptions options) => Pattern(options.RankPattern, module, options.Rank);

    private static double ScaleOf(string module, LoraOptions options)
    {
        var alpha = Pattern(options.AlphaPattern, module, options.Alpha);
        var rank = RankOf(module, options);
        return alpha / (options.UseRsLora ? Math.Sqrt(rank) : rank);
    }

    // A key matches the end of a module's name, at a dot or the whole of it.
    private static T Pattern<T>(IReadOnlyList<KeyValuePair<string, T>> patterns, string module, T otherwise)
    {
        foreach (var (key, value) in patterns)
        {
            if (Regex.IsMatch(module, $@"(?:^|.*\.)(?:{key})$", RegexOptions.CultureInvariant))
            {
                return value;
            }
        }
        return otherwise;
    }
}
