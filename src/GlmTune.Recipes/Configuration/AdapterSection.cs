using System.Text.RegularExpressions;
using GlmTune.Model.Adapters;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads <c>peft_config</c>: LoRA, a prefix, or nothing.</summary>
internal static partial class AdapterSection
{
    public const string Lora = "LORA";
    public const string Prefix = "PREFIX_TUNING";

    private static readonly string[] OtherLoraKeys =
    [
        "fan_in_fan_out",
        "layers_to_transform",
        "layers_pattern",
        "layer_replication",
        "loftq_config",
        "exclude_modules",
        "lora_bias",
        "trainable_token_indices",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "velora_config",
        "alora_invocation_tokens",
        "use_qalora",
        "monteclora_config",
        "target_parameters",
        "use_bdlora",
        "arrow_config",
        "kasa_config",
        "megatron_config",
        "ensure_weight_tying",
    ];

    public static (LoraOptions? Lora, PrefixTuningOptions? Prefix) Read(Section root)
    {
        if (root.Mapping("peft_config") is null)
        {
            return (null, null);
        }

        var section = root.Reopen("peft_config");
        var type = section.Text("peft_type")?.ToUpperInvariant();
        if (
            section.Text("task_type", "CAUSAL_LM") is { } task
            && !task.Equals("CAUSAL_LM", StringComparison.OrdinalIgnoreCase)
        )
        {
            section.Problem("task_type", $"'peft_config.task_type' is '{task}'; expected CAUSAL_LM");
        }

        switch (type)
        {
            case Lora:
                return (ReadLora(section), null);
            case Prefix:
                return (null, ReadPrefix(section));
            case null:
                section.Problem("peft_type", $"'peft_config.peft_type' is missing; expected {Lora} or {Prefix}");
                return (null, null);
            default:
                var hint = type is "P_TUNING" or "PTUNING" or "P_TUNING_V2"
                    ? $"; P-Tuning v2 is {Prefix}"
                    : Suggestion.Text(type, [Lora, Prefix]);
                section.Problem(
                    "peft_type",
                    $"'peft_config.peft_type' is '{section.Text("peft_type")}'; expected {Lora} or {Prefix}{hint}"
                );
                return (null, null);
        }
    }

    public static LoraOptions ReadLora(Section section)
    {
        var defaults = new LoraOptions();
        var options = new LoraOptions
        {
            Rank = section.Int("r", defaults.Rank, least: 1, most: 1 << 16),
            Alpha = section.Number("lora_alpha", defaults.Alpha, Bounds.Positive),
            Dropout = section.Number("lora_dropout", defaults.Dropout, Bounds.ShareBelowOne),
            TargetModules = Targets(section),
            RankPattern = Pattern(
                section,
                "rank_pattern",
                "a whole number of at least 1",
                number => number >= 1 && number <= 1 << 16 && number == Math.Floor(number),
                number => (int)number
            ),
            AlphaPattern = Pattern(
                section,
                "alpha_pattern",
                "a number above 0",
                number => number > 0,
                number => number
            ),
            UseRsLora = section.Flag("use_rslora", defaults.UseRsLora),
            UseDora = section.Flag("use_dora", defaults.UseDora),
            ModulesToSave = section.Texts("modules_to_save") ?? [],
            InitWeights = section.Choice(
                "init_lora_weights",
                LoraInitialization.Default,
                ("true", LoraInitialization.Default),
                ("yes", LoraInitialization.Default),
                ("gaussian", LoraInitialization.Gaussian),
                ("false", LoraInitialization.Random),
                ("no", LoraInitialization.Random)
            ),
        };
        section.Unsupported("bias", "the base model's biases are not trained; write none", neutral: "none");
        Array.ForEach(OtherLoraKeys, key => section.Unsupported(key, ""));
        section.NoEffect("megatron_core", "there is only one kind of linear layer");
        section.NoEffect("qalora_group_size", "use_qalora is not supported");
        section.NoEffect("runtime_config", "it does not affect any adapter");
        End(section);
        return options;
    }

    public static PrefixTuningOptions ReadPrefix(Section section)
    {
        var defaults = new PrefixTuningOptions();
        var options = new PrefixTuningOptions
        {
            VirtualTokens = section.Int("num_virtual_tokens", defaults.VirtualTokens, least: 1, most: 1 << 20),
            AttentionHeads = section.IntOrNull(
                "num_attention_heads",
                least: 1,
                fallback: "the model's key-value heads"
            ),
            TokenDim = section.IntOrNull("token_dim", least: 1, fallback: "key-value heads × head size"),
            Layers = section.IntOrNull("num_layers", least: 1, fallback: "the model's"),
            Projection = section.Flag("prefix_projection", defaults.Projection),
            EncoderHiddenSize = section.IntOrNull("encoder_hidden_size", least: 1, fallback: "`token_dim`"),
            Initialization = section.Choice(
                "init_weights",
                defaults.Initialization,
                ("text", PrefixInitialization.Text),
                ("normal", PrefixInitialization.Normal),
                ("zero", PrefixInitialization.Zero)
            ),
            InitializationText = section.Text("init_text"),
            Positions = section.Choice(
                "positions",
                defaults.Positions,
                ("auto", PrefixPositions.Auto),
                ("original", PrefixPositions.Original),
                ("library", PrefixPositions.Library)
            ),
        };
        if (options.InitializationText is not null && options.Initialization != PrefixInitialization.Text)
        {
            section.Problem("init_text", "'peft_config.init_text' requires init_weights: text; remove one of them");
        }

        if (options is { AttentionHeads: { } heads, TokenDim: { } width } && width % heads != 0)
        {
            section.Problem(
                "token_dim",
                $"'peft_config.token_dim' is {width}, which is not divisible by {heads} heads "
                    + "(num_attention_heads); leave both out to use the model's values"
            );
        }

        section.Unsupported("num_transformer_submodules", "the model is a single decoder; write 1", neutral: "1");
        section.Unsupported("modules_to_save", "it applies only to LORA");
        End(section);
        return options;
    }

    private static void End(Section section)
    {
        section.NoEffect("base_model_name_or_path", "the model is given on the command line");
        section.NoEffect("auto_mapping", "classes are not loaded by name");
        section.NoEffect("revision", "the model is given as a folder");
        section.NoEffect("inference_mode", "training always sets this");
        section.NoEffect("peft_version", "it is not used");
        section.End();
    }

    // A single name is a list of one: as a regular expression for full names it would match no module.
    [GeneratedRegex(@"^\w+(\.\w+)*$", RegexOptions.CultureInvariant)]
    private static partial Regex ModuleName();

    private static LoraTargets? Targets(Section section)
    {
        const string key = "target_modules";
        if (
            section.Node(key, "query_key_value; q_proj, k_proj, v_proj in the library layout", KeyKind.List)
            is not { } node
        )
        {
            return null;
        }

        try
        {
            return node is ConfigText text && !ModuleName().IsMatch(text.Text) ? LoraTargets.FromText(text.Text)
                : section.Texts(key) is { } names ? LoraTargets.FromNames(names)
                : null;
        }
        catch (ArgumentException e)
        {
            return section.Wrong<LoraTargets>(
                key,
                node,
                $"module names, a regular expression or all-linear ({e.Message.Split('\n')[0]})"
            );
        }
    }

    private static List<KeyValuePair<string, T>> Pattern<T>(
        Section section,
        string key,
        string expected,
        Func<double, bool> fits,
        Func<double, T> convert
    )
    {
        var pairs = new List<KeyValuePair<string, T>>();
        foreach (var entry in section.Mapping(key)?.Entries ?? [])
        {
            if (entry.Value is ConfigText text && Scalars.TryNumber(text.Text, out var number) && fits(number))
            {
                pairs.Add(new(entry.Key, convert(number)));
            }
            else
            {
                section.ProblemAt(
                    entry.At,
                    $"'{section.Full(key)}' has {entry.Value.Describe()} for '{entry.Key}'; expected {expected}"
                );
            }
        }

        return pairs;
    }
}
