using System.Text.RegularExpressions;
using GlmTune.Kernels;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>A LoRA or DoRA adapter on a whole model: the layers that it adapts, and its parameters.</summary>
internal sealed class Lora : IAdapter
{
    private readonly List<LowRankAdapter> adapters = [];
    private readonly List<WeightSlice> savedWeights = [];

    private Lora(LoraOptions options, LoraTargets targets, CheckpointLayout layout) =>
        (Options, Targets, Layout) = (options, targets, layout);

    /// <summary>The options that it was created with.</summary>
    public LoraOptions Options { get; }

    /// <summary>Layout that its tensor names follow.</summary>
    public CheckpointLayout Layout { get; }

    /// <summary>The linear layers named by the options, or the default layers of the family.</summary>
    internal LoraTargets Targets { get; }

    /// <summary>The adapter of each adapted linear layer, in the order of the forward pass.</summary>
    internal IReadOnlyList<LowRankAdapter> Layers => adapters;

    /// <summary>All deltas, in the order of the forward pass.</summary>
    public IEnumerable<LowRankDelta> Deltas => adapters.SelectMany(adapter => adapter.Deltas);

    /// <summary>The base model's own weights that are trained and saved with the adapter (<c>modules_to_save</c>),
    /// under the layout's names.</summary>
    public IReadOnlyList<WeightSlice> SavedWeights => savedWeights;

    /// <inheritdoc/>
    public IEnumerable<Parameter> Parameters =>
        adapters
            .SelectMany(adapter => adapter.Parameters)
            .Concat(savedWeights.Select(slice => slice.Parameter).Distinct());

    /// <summary>Every parameter under its name in a file, without PEFT's prefix.</summary>
    internal IEnumerable<(string Name, Parameter Parameter)> NamedParameters =>
        adapters
            .SelectMany(adapter => adapter.Parameters)
            .Select(parameter => (parameter.Name, parameter))
            .Concat(savedWeights.Select(slice => (slice.Name, slice.Parameter)));

    /// <summary>Attaches deltas to the layers that the options name, and freezes everything else.</summary>
    /// <param name="model">The model; the adapter must live as long as the model uses it.</param>
    /// <param name="options">Ranks, targets and so on.</param>
    /// <param name="layout">Layout of the target names; null: the model's.</param>
    /// <exception cref="InvalidDataException">The targets, or one of the modules to save, match no layer.</exception>
    public static Lora Attach(DecoderModel model, LoraOptions options, CheckpointLayout? layout = null)
    {
        var names = layout ?? model.Config.Layout;
        var targets = options.TargetModules ?? model.Names.DefaultTargets(names);
        var lora = new Lora(options, targets, names);
        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = false;
        }

        var linears = model.Names.Linears(model, names).ToList();
        var chosen = linears.Where(slice => IsTarget(slice, targets)).ToList();
        if (chosen.Count == 0)
        {
            var modules = linears.Select(slice => slice.Name.Split('.')[^1]).Distinct();
            throw new InvalidDataException(
                $"target_modules '{targets}' matches no layer of this model. Its linear layers end in: "
                    + $"{string.Join(", ", modules)}."
            );
        }

        RequireBothOfTied(model, options);
        var saved = options
            .ModulesToSave.SelectMany(module => WeightsOf(module, model, names))
            .DistinctBy(slice => slice.Name)
            .ToList();
        if (chosen.Find(target => saved.Exists(slice => slice.Parameter == target.Linear.Weight)) is { } both)
        {
            throw new InvalidDataException(
                $"'{both.Name}' is in both target_modules and modules_to_save; remove it from one of them."
            );
        }

        foreach (var slice in saved)
        {
            slice.Parameter.Trainable = true;
        }

        lora.savedWeights.AddRange(saved);
        foreach (var group in chosen.GroupBy(slice => slice.Linear))
        {
            var parts = group
                .Select(slice => (slice, RankOf(slice.Name, options), ScaleOf(slice.Name, options)))
                .ToList();
            var adapter = new LowRankAdapter(group.Key, parts, options.Dropout, options.UseDora);
            group.Key.Attach(adapter);
            lora.adapters.Add(adapter);
        }

        return lora;
    }

    /// <summary>Draws initial values; with the default and Gaussian initialization, the adapter has no effect
    /// yet.</summary>
    /// <param name="seed">Seed; together with a parameter's name it determines the numbers.</param>
    public void Initialize(long seed)
    {
        using var scope = NewDisposeScope();
        foreach (var delta in Deltas)
        {
            var bound = 1 / Math.Sqrt(delta.A.Shape[1]);
            var a =
                Options.InitWeights == LoraInitialization.Gaussian
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

        adapters.ForEach(adapter => adapter.ResetMagnitudes());
    }

    /// <summary>Merges the adapter into the model's weights, computed in float32 or wider, and detaches it.</summary>
    /// <param name="model">The model that it is attached to; its weights are in memory.</param>
    /// <exception cref="InvalidDataException">A merged weight is not finite in the model's type, or is not the expected
    /// sum. Some layers are already merged, so the model can no longer be used.</exception>
    public void Merge(DecoderModel model)
    {
        CheckMergeable(model);
        foreach (var adapter in adapters)
        {
            using var scope = NewDisposeScope();
            var weight = adapter.Linear.Weight.Value;
            weight.copy_(Merged(adapter, weight.dtype));
        }

        Detach(model);
    }

    /// <summary>Throws if no weight of the model can represent this adapter.</summary>
    /// <param name="model">The model that it is attached to.</param>
    /// <exception cref="InvalidDataException">It changes an output head that is the embedding too.</exception>
    public void CheckMergeable(DecoderModel model)
    {
        if (model.Config.TiedHead && model.Head.Projection.Adapters.OfType<LowRankAdapter>().Any(adapters.Contains))
        {
            throw new InvalidDataException(
                "The adapter changes the output head, which is the embedding too in this model (tie_word_embeddings), "
                    + "so it cannot be merged. Use it as an adapter."
            );
        }
    }

    /// <summary>A base weight with this adapter merged, computed in float32 or wider, in the caller's dispose scope;
    /// null if the adapter does not change it.</summary>
    /// <param name="weight">The weight; it is in memory if the adapter changes it.</param>
    /// <exception cref="InvalidDataException">A merged weight is not finite, or is not the expected sum.</exception>
    public Tensor? MergedValue(Parameter weight) =>
        adapters.Find(adapter => adapter.Linear.Weight == weight) is { } adapter ? Merged(adapter, weight.Type) : null;

    /// <summary>Whether the adapter changes a base weight.</summary>
    public bool Changes(Parameter weight) => adapters.Exists(adapter => adapter.Linear.Weight == weight);

    /// <summary>The low-rank change of some rows of a weight, W + B·A, in float32 and in the caller's dispose scope;
    /// null if there is none.</summary>
    /// <param name="slice">The rows.</param>
    /// <returns>A [r, in], and B [rows, r] including the scale.</returns>
    public (Tensor A, Tensor B)? FactorsOf(WeightSlice slice)
    {
        if (adapters.Find(adapter => adapter.Linear.Weight == slice.Parameter) is not { } adapter)
        {
            return null;
        }

        using var scope = NewDisposeScope();
        List<Tensor> a = [];
        List<Tensor> b = [];
        foreach (var delta in adapter.Deltas)
        {
            var first = Math.Max(delta.FirstRow, slice.FirstRow);
            var rows = Math.Min(delta.FirstRow + delta.Rows, slice.FirstRow + slice.Rows) - first;
            if (rows <= 0)
            {
                continue;
            }

            var block = zeros(slice.Rows, delta.LoraRank, ScalarType.Float32, CPU);
            block
                .narrow(0, first - slice.FirstRow, rows)
                .copy_(
                    delta
                        .B.Value.narrow(0, first - delta.FirstRow, rows)
                        .to_type(ScalarType.Float64)
                        .Multiply(delta.Scale)
                );
            a.Add(delta.A.Value.to_type(ScalarType.Float32).cpu());
            b.Add(block);
        }

        return a.Count == 0
            ? null
            : (cat(a).MoveToOuterDisposeScope(), cat(b, 1).contiguous().MoveToOuterDisposeScope());
    }

    private static Tensor Merged(LowRankAdapter adapter, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var merged = adapter.MergedWeight().to_type(type);
        return MergedWeightCheck.FindProblem(adapter, merged) is { } problem
            ? throw new InvalidDataException(
                $"'{adapter.Linear.Weight.Name}' cannot be merged in {merged.dtype}: {problem}. Nothing was written. "
                    + "Try --dtype float32; where that fails too, base or adapter are damaged."
            )
            : merged.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Save(
        string folder,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32,
        string? baseFingerprint = null
    ) => AdapterFolder.SaveLora(folder, this, baseModel, values, type, baseFingerprint);

    /// <summary>Detaches this adapter from the layers of <paramref name="model"/>; modules saved with it keep their
    /// values.</summary>
    public void Detach(DecoderModel model)
    {
        foreach (var slice in model.Names.Linears(model, Layout))
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

    /// <summary>Whether the targets include a linear layer, by PEFT's rules.</summary>
    public static bool IsTarget(LinearSlice slice, LoraTargets targets) =>
        targets.IsAllLinear ? !slice.IsHead
        : targets.Pattern is { } pattern ? Regex.IsMatch(slice.Name, $"^(?:{pattern})$", RegexOptions.CultureInvariant)
        : targets.Names!.Any(name => slice.Name == name || slice.Name.EndsWith("." + name, StringComparison.Ordinal));

    // PEFT keeps a copy of each module that it saves, so an embedding and a head that are one weight here stay one
    // there only where both are saved.
    private static void RequireBothOfTied(DecoderModel model, LoraOptions options)
    {
        string[] tied = ["embed_tokens", "lm_head"];
        var named = tied.Where(module => options.ModulesToSave.Any(name => name.Split('.')[^1] == module)).ToList();
        if (model.Config.TiedHead && named.Count == 1)
        {
            throw new InvalidDataException(
                $"modules_to_save: '{named[0]}' is found alone, but this model's embedding and head are one weight "
                    + $"(tie_word_embeddings). Name both: {string.Join(", ", tied)}."
            );
        }
    }

    // Modules are named as in PEFT: by their full name or its end. A module's weight and bias belong together.
    private static List<WeightSlice> WeightsOf(string module, DecoderModel model, CheckpointLayout layout)
    {
        var weights = model.Names.Weights(model, layout).ToList();
        if (model.Config.TiedHead && model.Names.Linears(model, layout).First(slice => slice.IsHead) is var head)
        {
            weights.Add(new WeightSlice($"{head.Name}.weight", head.Linear.Weight, head.FirstRow, head.Rows));
        }

        var named = weights
            .Where(slice =>
                ModuleOf(slice) == module || ModuleOf(slice).EndsWith("." + module, StringComparison.Ordinal)
            )
            .ToList();
        if (named.Count == 0)
        {
            throw new InvalidDataException(
                $"modules_to_save: '{module}' matches no module of this model. Its modules end in: "
                    + $"{string.Join(", ", weights.Select(slice => ModuleOf(slice).Split('.')[^1]).Distinct())}."
            );
        }

        return named.Find(slice => slice.Rows != slice.Parameter.Shape[0]) is not { } part
            ? named
            : throw new InvalidDataException(
                $"modules_to_save: '{part.Name}' is part of a fused weight; only whole weights can be saved. "
                    + "Use target_modules for it instead."
            );
    }

    private static string ModuleOf(WeightSlice slice) => slice.Name[..slice.Name.LastIndexOf('.')];

    /// <summary>The rank of a module's delta, by <see cref="LoraOptions.RankPattern"/>.</summary>
    /// <param name="module">Name of the module.</param>
    /// <param name="options">The adapter's options.</param>
    public static int RankOf(string module, LoraOptions options) => Pattern(options.RankPattern, module, options.Rank);

    private static double ScaleOf(string module, LoraOptions options)
    {
        var alpha = Pattern(options.AlphaPattern, module, options.Alpha);
        var rank = RankOf(module, options);
        return alpha / (options.UseRsLora ? Math.Sqrt(rank) : rank);
    }

    // A key matches the full module name, or its end after a dot.
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
