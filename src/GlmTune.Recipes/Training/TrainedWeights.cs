using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>What a run trains: an adapter on a frozen model, or the whole model.</summary>
internal sealed class TrainedWeights : IDisposable
{
    private readonly DecoderModel model;
    private readonly IAdapter? adapter;

    private TrainedWeights(DecoderModel model, IAdapter? adapter) => (this.model, this.adapter) = (model, adapter);

    /// <summary>Whether an adapter is trained, rather than the model itself.</summary>
    public bool IsAdapter => adapter is not null;

    /// <summary>Number of trainable parameters.</summary>
    public long Count => model.Parameters.Where(parameter => parameter.Trainable).Sum(parameter => parameter.Count);

    /// <summary>Whether the recipe trains something initialized from the model's weights, or some of the weights
    /// themselves, so that they must be in memory.</summary>
    public static bool BeginFromWeights(Recipe recipe) =>
        recipe.Lora is { UseDora: true } or { ModulesToSave.Count: > 0 }
        || recipe.Prefix is { Initialization: PrefixInitialization.Text };

    /// <summary>Attaches the recipe's adapter to the model, or makes all of the model's weights trainable.</summary>
    /// <param name="model">The model with its weights, or those of a checkpoint.</param>
    /// <param name="recipe">The recipe, which describes the adapter if there is one.</param>
    /// <param name="checkpoint">Checkpoint from which an adapter resumes; null: it starts from scratch.</param>
    /// <param name="text">Tokens that initialize a new prefix, if it is initialized from text.</param>
    /// <exception cref="InvalidDataException">The checkpoint's adapter does not fit the model or the
    /// recipe.</exception>
    public static TrainedWeights Prepare(
        DecoderModel model,
        Recipe recipe,
        string? checkpoint,
        Func<IReadOnlyList<int>> text
    )
    {
        if (recipe.Lora is null && recipe.Prefix is null)
        {
            foreach (var parameter in model.BaseParameters)
            {
                parameter.Trainable = true;
            }

            return new TrainedWeights(model, null);
        }

        return new TrainedWeights(
            model,
            checkpoint is not null ? Continue(model, recipe, checkpoint)
                : recipe.Lora is { } lora ? Begin(model, lora, recipe.Training.Seed)
                : Begin(model, recipe.Prefix!, recipe.Training.Seed, text)
        );
    }

    /// <summary>Writes the adapter, without the tokenizer files.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="baseModel">Name of the base model to record.</param>
    /// <param name="baseFingerprint">Fingerprint of the base model to record; null: unknown.</param>
    /// <param name="values">Returns the values of a parameter in full precision.</param>
    /// <exception cref="InvalidOperationException">The model itself is trained.</exception>
    public void SaveAdapter(string folder, string baseModel, string? baseFingerprint, Func<Parameter, Tensor> values) =>
        (adapter ?? throw new InvalidOperationException("There is no adapter.")).Save(
            folder,
            baseModel,
            values,
            baseFingerprint: baseFingerprint
        );

    /// <inheritdoc/>
    public void Dispose() => adapter?.Dispose();

    private static IAdapter Continue(DecoderModel model, Recipe recipe, string checkpoint)
    {
        var (kind, wanted) = (AdapterConfigFile.Read(checkpoint).Kind, recipe.Lora is null ? "PREFIX_TUNING" : "LORA");
        if (kind == wanted && recipe.Lora is { } lora)
        {
            CheckSame(checkpoint, model, lora, AdapterConfigFile.Read(checkpoint).ReadLora());
        }

        return kind == wanted
            ? AdapterFolder.Load(
                checkpoint,
                model,
                recipe.Lora?.Dropout,
                recipe.Prefix?.Positions ?? PrefixPositions.Auto
            )
            : throw new InvalidDataException(
                $"{checkpoint}: contains a {kind} adapter, but the recipe trains {wanted}. Start from "
                    + "scratch, or use the checkpoint's own recipe."
            );
    }

    // A resumed adapter is used as it is; a recipe that requests a different one must not be ignored silently.
    private static void CheckSame(string checkpoint, DecoderModel model, LoraOptions recipe, LoraOptions stored)
    {
        List<string> problems = [];
        void Compare<T>(string key, T wanted, T found)
        {
            if (!EqualityComparer<T>.Default.Equals(wanted, found))
            {
                problems.Add($"'{key}' is {found} in the checkpoint but {wanted} in the recipe");
            }
        }

        Compare("r", recipe.Rank, stored.Rank);
        Compare("lora_alpha", recipe.Alpha, stored.Alpha);
        Compare("use_rslora", recipe.UseRsLora, stored.UseRsLora);
        Compare("use_dora", recipe.UseDora, stored.UseDora);
        Compare("target_modules", ModulesOf(model, recipe), ModulesOf(model, stored));
        Compare("modules_to_save", Joined(recipe.ModulesToSave), Joined(stored.ModulesToSave));
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{checkpoint}: {string.Join("; ", problems)}. Start from scratch, or set the checkpoint's "
                    + "values in the recipe."
            );
        }
    }

    // Names, a regular expression and all-linear can select the same layers; an adapter may use the names of the other
    // layout.
    private static string ModulesOf(DecoderModel model, LoraOptions options)
    {
        var chosen =
            ((CheckpointLayout[])[model.Config.Layout, .. Enum.GetValues<CheckpointLayout>()])
                .Select(layout =>
                    model
                        .Names.Linears(model, layout)
                        .Where(slice =>
                            Lora.IsTarget(slice, options.TargetModules ?? model.Names.DefaultTargets(layout))
                        )
                        .ToList()
                )
                .FirstOrDefault(slices => slices.Count > 0)
            ?? [];
        return Joined(
            chosen
                .GroupBy(slice => slice.Name.Split('.')[^1])
                .Select(group =>
                    group.Count() == model.Layers.Count || group.First().IsHead
                        ? group.Key
                        : string.Join(", ", group.Select(slice => slice.Name))
                )
        );
    }

    private static string Joined(IEnumerable<string> names) => string.Join(", ", names.Order(StringComparer.Ordinal));

    private static Lora Begin(DecoderModel model, LoraOptions options, long seed) =>
        Filled(Lora.Attach(model, options), lora => lora.Initialize(seed));

    private static PrefixTuning Begin(
        DecoderModel model,
        PrefixTuningOptions options,
        long seed,
        Func<IReadOnlyList<int>> text
    ) =>
        Filled(
            PrefixTuning.Attach(model, options),
            prefix =>
            {
                if (options is { Initialization: PrefixInitialization.Text, Projection: false })
                {
                    prefix.InitializeFromText(model, text());
                }
                else
                {
                    prefix.Initialize(seed);
                }
            }
        );

    private static T Filled<T>(T adapter, Action<T> fill)
        where T : IAdapter
    {
        try
        {
            fill(adapter);
            return adapter;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }
}
