namespace GlmTune.Model.Adapters;

/// <summary>What a low-rank adapter is: the words of PEFT's <c>LoraConfig</c>, and its defaults.</summary>
/// <remarks>Immutable. Values are checked where a recipe or an adapter's file is read. Source: Hu et al., LoRA,
/// arXiv:2106.09685.</remarks>
public sealed record LoraOptions
{
    /// <summary>Rank of each delta (<c>r</c>); at least 1. Default 8.</summary>
    public int Rank { get; init; } = 8;

    /// <summary>Numerator of the scaling (<c>lora_alpha</c>); positive. Default 8.</summary>
    public double Alpha { get; init; } = 8;

    /// <summary>Share of the inputs dropped before the A matrix (<c>lora_dropout</c>), from 0 to below 1. Default
    /// 0.</summary>
    public double Dropout { get; init; }

    /// <summary>Which layers are adapted (<c>target_modules</c>); null leaves the choice to the model's layout:
    /// <c>query_key_value</c>, or <c>q_proj</c>, <c>k_proj</c>, <c>v_proj</c>.</summary>
    public LoraTargets? TargetModules { get; init; }

    /// <summary>Ranks that differ from <see cref="Rank"/>, by a regular expression for the end of a module's name, in
    /// the order in which they are tried; the first that matches counts (<c>rank_pattern</c>). Default empty.</summary>
    public IReadOnlyList<KeyValuePair<string, int>> RankPattern { get; init; } = [];

    /// <summary>Alphas that differ from <see cref="Alpha"/>, matched as <see cref="RankPattern"/> is
    /// (<c>alpha_pattern</c>). Default empty.</summary>
    public IReadOnlyList<KeyValuePair<string, double>> AlphaPattern { get; init; } = [];

    /// <summary>Scale by alpha/√rank, not alpha/rank (<c>use_rslora</c>). Default false. Source:
    /// arXiv:2312.03732.</summary>
    public bool UseRsLora { get; init; }

    /// <summary>Learn the magnitude of each output row beside the delta (<c>use_dora</c>). Default false. Source:
    /// arXiv:2402.09353.</summary>
    public bool UseDora { get; init; }

    /// <summary>Names of whole modules that are trained and saved with the adapter, matched as a list of
    /// <see cref="TargetModules"/> is (<c>modules_to_save</c>). Default empty.</summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary>How A and B begin (<c>init_lora_weights</c>). Default
    /// <see cref="LoraInitialization.Default"/>.</summary>
    public LoraInitialization InitWeights { get; init; }
}

/// <summary>How the two matrices of a low-rank delta begin.</summary>
public enum LoraInitialization
{
    /// <summary>A uniform within ±1/√(input width), B zero (<c>true</c> in PEFT): the delta begins at zero.</summary>
    Default,

    /// <summary>A normal with standard deviation 1/rank, B zero (<c>gaussian</c>): the delta begins at zero.</summary>
    Gaussian,

    /// <summary>A and B both uniform within ±1/√(their input width) (<c>false</c> in PEFT): the delta is not zero, for
    /// tests.</summary>
    Random,
}
