using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Model.Adapters;

/// <summary>PEFT's <c>adapter_config.json</c>: a JSON object, read with all problems reported at once.</summary>
internal sealed class AdapterConfigFile
{
    /// <summary>The file's name in an adapter folder.</summary>
    public const string FileName = "adapter_config.json";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly JsonObject json;
    private readonly List<string> problems = [];

    private AdapterConfigFile(string path, JsonObject json) => (Path, this.json) = (path, json);

    /// <summary>Path of the file.</summary>
    public string Path { get; }

    /// <summary>Name of the base model as recorded in the file; null if there is none.</summary>
    public string? BaseModel => Text("base_model_name_or_path");

    /// <summary>"LORA", "PREFIX_TUNING" or another value in the file, in upper case.</summary>
    public string Kind => Text("peft_type")?.ToUpperInvariant() ?? "";

    /// <summary>Whether <paramref name="folder"/> is an adapter folder.</summary>
    public static bool IsIn(string folder) => File.Exists(System.IO.Path.Combine(folder, FileName));

    /// <summary>Reads a folder's file.</summary>
    /// <exception cref="InvalidDataException">The file is missing, not JSON, or of an unsupported kind.</exception>
    public static AdapterConfigFile Read(string folder)
    {
        var path = System.IO.Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            throw new InvalidDataException($"{folder}: has no {FileName}; it is not an adapter folder.");
        }

        var file = new AdapterConfigFile(path, JsonObject.Create(JsonFile.ReadObject(path))!);
        return file.Kind is "LORA" or "PREFIX_TUNING" ? file
            : file.Kind.Length == 0
                ? throw new InvalidDataException($"{path}: has no 'peft_type'; expected LORA or PREFIX_TUNING.")
            : throw new InvalidDataException(
                $"{path}: peft_type is '{file.Kind}', which is not supported; expected LORA or PREFIX_TUNING."
            );
    }

    /// <summary>Reads the options of a LoRA adapter.</summary>
    /// <exception cref="InvalidDataException">Values are invalid or not supported; the message lists all
    /// problems.</exception>
    public LoraOptions ReadLora()
    {
        Refuse(
            "fan_in_fan_out",
            "bias",
            "layers_to_transform",
            "layers_pattern",
            "layer_replication",
            "lora_bias",
            "trainable_token_indices",
            "alora_invocation_tokens",
            "use_qalora",
            "use_bdlora",
            "target_parameters",
            "exclude_modules",
            "megatron_config",
            "arrow_config",
            "kasa_config",
            "velora_config",
            "monteclora_config"
        );
        var initialization = json["init_lora_weights"] switch
        {
            JsonValue value when value.GetValueKind() == JsonValueKind.False => LoraInitialization.Random,
            JsonValue value when value.GetValueKind() == JsonValueKind.String => InitializationNamed(
                value.GetValue<string>()
            ),
            _ => LoraInitialization.Default,
        };
        var options = new LoraOptions
        {
            Rank = Whole("r") ?? 8,
            Alpha = Number("lora_alpha") ?? 8,
            Dropout = Number("lora_dropout") ?? 0,
            TargetModules = Targets(),
            RankPattern =
            [
                .. Pairs("rank_pattern")
                    .Select(pair => KeyValuePair.Create(pair.Key, Whole($"rank_pattern.{pair.Key}", pair.Value))),
            ],
            AlphaPattern = [.. Pairs("alpha_pattern")],
            UseRsLora = Flag("use_rslora"),
            UseDora = Flag("use_dora"),
            ModulesToSave = json["modules_to_save"] is JsonArray list
                ? [.. list.OfType<JsonValue>().Select(item => item.ToString())]
                : [],
            InitWeights = initialization,
        };
        if (options.Rank < 1 || options.RankPattern.Any(pair => pair.Value < 1))
        {
            problems.Add($"'r' is {options.Rank}; expected at least 1, and so for the ranks of 'rank_pattern'.");
        }

        if (options.Dropout is < 0 or >= 1)
        {
            problems.Add(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"'lora_dropout' is {options.Dropout}; expected a number from 0 to below 1."
                )
            );
        }

        Complain();
        return options;
    }

    /// <summary>Reads the options of a prefix adapter; its position rule is not in this file.</summary>
    /// <exception cref="InvalidDataException">Values are invalid or not supported; the message lists all
    /// problems.</exception>
    public PrefixTuningOptions ReadPrefix()
    {
        Refuse("modules_to_save");
        if (Whole("num_transformer_submodules") is { } submodules and not 1)
        {
            problems.Add(
                $"'num_transformer_submodules' is {submodules}; expected 1, since the model is a single decoder."
            );
        }

        var tokens = Whole("num_virtual_tokens");
        if (tokens is null or < 1)
        {
            problems.Add(
                $"'num_virtual_tokens' is {tokens?.ToString(CultureInfo.InvariantCulture) ?? "missing"}; expected at "
                    + "least 1."
            );
        }

        var options = new PrefixTuningOptions
        {
            VirtualTokens = tokens ?? 1,
            AttentionHeads = Whole("num_attention_heads"),
            TokenDim = Whole("token_dim"),
            Layers = Whole("num_layers"),
            Projection = Flag("prefix_projection"),
            EncoderHiddenSize = Whole("encoder_hidden_size"),
        };
        Complain();
        return options;
    }

    /// <summary>A number in the file; null if it is missing.</summary>
    public double? Number(string key)
    {
        if (json[key] is not JsonValue value)
        {
            return null;
        }

        if (value.TryGetValue<double>(out var number) && double.IsFinite(number))
        {
            return number;
        }

        problems.Add($"'{key}' is {value.ToJsonString()}; expected a number.");
        return null;
    }

    /// <summary>A Boolean in the file; false if it is missing.</summary>
    public bool Flag(string key) => json[key] is JsonValue value && value.GetValueKind() == JsonValueKind.True;

    /// <summary>A text in the file; null if it is missing.</summary>
    public string? Text(string key) =>
        json[key] is JsonValue value && value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : null;

    /// <summary>Writes a LoRA adapter's file like PEFT: sorted keys, indented by two spaces.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="lora">The adapter.</param>
    /// <param name="baseModel">Path or Hub id of the base model.</param>
    public static void WriteLora(string folder, Lora lora, string? baseModel)
    {
        var options = lora.Options;
        var targets = lora.Targets;
        // PEFT stores the modules that "all-linear" resolved to, so that the file means the same in any version.
        JsonNode targetNode = targets.Pattern is { } pattern
            ? pattern
            : new JsonArray([
                .. (targets.Names ?? [.. lora.Deltas.Select(delta => delta.Module.Split('.')[^1]).Distinct()]).Select(
                    name => (JsonNode)name
                ),
            ]);
        Write(
            folder,
            new Dictionary<string, JsonNode?>
            {
                ["alpha_pattern"] = new JsonObject(
                    options.AlphaPattern.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)Written(pair.Value)))
                ),
                ["auto_mapping"] = null,
                ["base_model_name_or_path"] = baseModel,
                ["bias"] = "none",
                ["fan_in_fan_out"] = false,
                ["inference_mode"] = true,
                ["init_lora_weights"] = options.InitWeights switch
                {
                    LoraInitialization.Gaussian => "gaussian",
                    LoraInitialization.Random => false,
                    _ => true,
                },
                ["layer_replication"] = null,
                ["layers_pattern"] = null,
                ["layers_to_transform"] = null,
                ["loftq_config"] = new JsonObject(),
                ["lora_alpha"] = Written(options.Alpha),
                ["lora_dropout"] = options.Dropout,
                ["megatron_config"] = null,
                ["megatron_core"] = "megatron.core",
                ["modules_to_save"] =
                    options.ModulesToSave.Count == 0
                        ? null
                        : new JsonArray([.. options.ModulesToSave.Select(name => (JsonNode)name)]),
                ["peft_type"] = "LORA",
                ["r"] = options.Rank,
                ["rank_pattern"] = new JsonObject(
                    options.RankPattern.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))
                ),
                ["revision"] = null,
                ["target_modules"] = targetNode,
                ["task_type"] = "CAUSAL_LM",
                ["use_dora"] = options.UseDora,
                ["use_rslora"] = options.UseRsLora,
            }
        );
    }

    /// <summary>Writes a prefix adapter's file like PEFT.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="prefix">The adapter.</param>
    /// <param name="baseModel">Path or Hub id of the base model.</param>
    public static void WritePrefix(string folder, PrefixTuning prefix, string? baseModel)
    {
        var options = prefix.Options;
        Write(
            folder,
            new Dictionary<string, JsonNode?>
            {
                ["auto_mapping"] = null,
                ["base_model_name_or_path"] = baseModel,
                ["encoder_hidden_size"] = options.EncoderHiddenSize,
                ["inference_mode"] = true,
                ["num_attention_heads"] = options.AttentionHeads,
                ["num_layers"] = options.Layers,
                ["num_transformer_submodules"] = 1,
                ["num_virtual_tokens"] = options.VirtualTokens,
                ["peft_type"] = "PREFIX_TUNING",
                ["prefix_projection"] = options.Projection,
                ["revision"] = null,
                ["task_type"] = "CAUSAL_LM",
                ["token_dim"] = options.TokenDim,
            }
        );
    }

    /// <summary>Writes the file with keys sorted.</summary>
    internal static void Write(string folder, IReadOnlyDictionary<string, JsonNode?> values)
    {
        var sorted = new JsonObject(values.OrderBy(pair => pair.Key, StringComparer.Ordinal));
        AtomicFile.WriteText(System.IO.Path.Combine(folder, FileName), sorted.ToJsonString(Indented) + "\n");
    }

    /// <summary>Throws if any problem was found so far.</summary>
    internal void Complain()
    {
        if (problems.Count > 0)
        {
            throw new InvalidDataException($"{Path}: {string.Join("\n  ", problems)}");
        }
    }

    private int? Whole(string key) => Number(key) is { } value ? Whole(key, value) : null;

    private int Whole(string key, double value)
    {
        if (value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue)
        {
            return (int)value;
        }

        problems.Add(string.Create(CultureInfo.InvariantCulture, $"'{key}' is {value}; expected a whole number."));
        return 1;
    }

    private static JsonNode Written(double value) => value == Math.Floor(value) ? (long)value : value;

    private LoraInitialization InitializationNamed(string name)
    {
        if (name == "gaussian")
        {
            return LoraInitialization.Gaussian;
        }

        problems.Add(
            $"'init_lora_weights' is '{name}', which also changes the base model's weights; expected true, "
                + "false or 'gaussian'. Convert the adapter to a plain one with the software that trained it."
        );
        return LoraInitialization.Default;
    }

    private LoraTargets? Targets()
    {
        try
        {
            switch (json["target_modules"])
            {
                case JsonArray { Count: > 0 } list:
                    return LoraTargets.FromNames([.. list.Select(item => item?.ToString() ?? "")]);
                case JsonValue value when value.GetValueKind() == JsonValueKind.String:
                    return LoraTargets.FromText(value.GetValue<string>());
                default:
                    return null;
            }
        }
        catch (ArgumentException)
        {
            problems.Add(
                $"'target_modules' is {json["target_modules"]!.ToJsonString()}; expected names of modules, a regular "
                    + "expression or 'all-linear'."
            );
            return null;
        }
    }

    // Keys are regular expressions, which must be valid.
    private List<KeyValuePair<string, double>> Pairs(string key)
    {
        List<KeyValuePair<string, double>> pairs = [];
        foreach (var (name, node) in json[key] as JsonObject ?? [])
        {
            if (node is not JsonValue value || !value.TryGetValue<double>(out var number) || !double.IsFinite(number))
            {
                problems.Add($"'{key}.{name}' is {node?.ToJsonString() ?? "null"}; expected a number.");
                continue;
            }

            try
            {
                _ = new Regex(name, RegexOptions.CultureInvariant);
                pairs.Add(KeyValuePair.Create(name, number));
            }
            catch (ArgumentException)
            {
                problems.Add($"'{key}' has the key '{name}'; expected a module's name or a regular expression.");
            }
        }

        return pairs;
    }

    // Unsupported keys that would change the result: accepted while they are null, false, empty or "none".
    private void Refuse(params ReadOnlySpan<string> keys)
    {
        foreach (var key in keys)
        {
            var value = json[key];
            var unset = value switch
            {
                null => true,
                JsonArray list => list.Count == 0,
                JsonObject pairs => pairs.Count == 0,
                JsonValue scalar => scalar.GetValueKind() == JsonValueKind.False
                    || (scalar.TryGetValue<string>(out var text) && text is "" or "none"),
                _ => false,
            };
            if (!unset)
            {
                problems.Add(
                    $"'{key}' is {value!.ToJsonString()}, which is not supported; the adapter would give "
                        + "different results here than where it was trained."
                );
            }
        }
    }
}
