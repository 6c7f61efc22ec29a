namespace GlmTune.Model.Adapters;

/// <summary>Options of a low-rank adapter, with the names and defaults of PEFT's <c>LoraConfig</c>.</summary>
/// <remarks>Immutable. Values are checked when a recipe or an adapter's file is read. Source: Hu et al., LoRA,
/// arXiv:2106.09685.</remarks>
public sealed record LoraOptions
{
    /// <summary>Rank of each delta (<c>r</c>); at least 1. Default: 8.</summary>
    public int Rank { get; init; } = 8;

    /// <summary>Numerator of the scale (<c>lora_alpha</c>); positive. Default: 8.</summary>
    public double Alpha { get; init; } = 8;

    /// <summary>Probability of zeroing an input of the A matrix (<c>lora_dropout</c>), from 0 to below 1. Default:
    /// 0.</summary>
    public double Dropout { get; init; }

    /// <summary>Which layers are adapted (<c>target_modules</c>); null: the default of the model's layout,
    /// <c>query_key_value</c> or <c>q_proj</c>, <c>k_proj</c>, <c>v_proj</c>.</summary>
    public LoraTargets? TargetModules { get; init; }

    /// <summary>Ranks that differ from <see cref="Rank"/>, by a regular expression for the end of a module's name; the
    /// first match counts (<c>rank_pattern</c>). Default: empty.</summary>
    public IReadOnlyList<KeyValuePair<string, int>> RankPattern { get; init; } = [];

    /// <summary>Alphas that differ from <see cref="Alpha"/>, matched like <see cref="RankPattern"/>
    /// (<c>alpha_pattern</c>). Default: empty.</summary>
    public IReadOnlyList<KeyValuePair<string, double>> AlphaPattern { get; init; } = [];

    /// <summary>Scale by alpha/√rank instead of alpha/rank (<c>use_rslora</c>). Default: false. Source:
    /// arXiv:2312.03732.</summary>
    public bool UseRsLora { get; init; }

    /// <summary>Also train the magnitude of each output row (<c>use_dora</c>). Default: false. Source:
    /// arXiv:2402.09353.</summary>
    public bool UseDora { get; init; }

    /// <summary>Names of whole modules that are trained and saved with the adapter, matched like a list of
    /// <see cref="TargetModules"/> (<c>modules_to_save</c>). Default: empty.</summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary>Initialization of A and B (<c>init_lora_weights</c>). Default:
    /// <see cref="LoraInitialization.Default"/>.</summary>
    public LoraInitialization InitWeights { get; init; }
}

/// <summary>Initialization of the two matrices of a low-rank delta.</summary>
public enum LoraInitialization
{
    /// <summary>A uniform within ±1/√(input width), B zero (<c>true</c> in PEFT): the delta is initially
    /// zero.</summary>
    Default,

    /// <summary>A normal with standard deviation 1/rank, B zero (<c>gaussian</c>): the delta is initially
    /// zero.</summary>
    Gaussian,

    /// <summary>A and B both uniform within ±1/√(their input width) (<c>false</c> in PEFT): the delta is not zero; for
    /// tests.</summary>
    Random,
}
