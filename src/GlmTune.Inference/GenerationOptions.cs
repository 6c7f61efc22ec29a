namespace GlmTune.Inference;

/// <summary>Options of generation, with the names of Hugging Face's <c>GenerationConfig</c>. Null means unset, so that
/// options from several sources can be combined.</summary>
/// <remarks>Immutable. <see cref="Defaults"/> contains the values used when no source sets an option.</remarks>
public sealed record GenerationOptions
{
    /// <summary>The values used when no source sets an option: greedy, one beam, 1,024 tokens.</summary>
    public static GenerationOptions Defaults { get; } =
        new()
        {
            MaxNewTokens = 1024,
            MinNewTokens = 0,
            DoSample = false,
            Temperature = 1,
            TopP = 1,
            TopK = 50,
            MinP = 0,
            RepetitionPenalty = 1,
            PresencePenalty = 0,
            FrequencyPenalty = 0,
            NumBeams = 1,
            LengthPenalty = 1,
            EarlyStopping = false,
            NoRepeatNgramSize = 0,
        };

    /// <summary>Maximum tokens to generate; at least 1. Default: 1024.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Minimum tokens before a stop token is allowed; at least 0. Default: 0.</summary>
    public int? MinNewTokens { get; init; }

    /// <summary>Maximum tokens of prompt and answer together; at least 1. Default: no limit.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Sample at random instead of taking the most likely token. Default: false.</summary>
    public bool? DoSample { get; init; }

    /// <summary>Divides the logits before sampling; positive. Default: 1.</summary>
    public double? Temperature { get; init; }

    /// <summary>Sample from the most likely tokens whose probabilities add up to this value; above 0, at most 1.
    /// Default: 1.</summary>
    public double? TopP { get; init; }

    /// <summary>Sample from this many most likely tokens; 0 disables it. Default: 50.</summary>
    public int? TopK { get; init; }

    /// <summary>Sample only from tokens with at least this fraction of the most likely token's probability; 0, which
    /// disables it, to 1. Default: 0.</summary>
    public double? MinP { get; init; }

    /// <summary>Values above 1 make tokens that occur in prompt or answer less likely; positive. Default: 1.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Subtracted from the logit of every token that occurs in the answer. Default: 0.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>Subtracted from the logit of a token per occurrence in the answer. Default: 0.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>Values added to the logits of tokens, by token id, before any other rule. Default: none.</summary>
    public IReadOnlyDictionary<int, double>? LogitBias { get; init; }

    /// <summary>No sequence of this many tokens occurs twice; 0 disables it. Default: 0.</summary>
    public int? NoRepeatNgramSize { get; init; }

    /// <summary>Number of beams in beam search; 1 disables it. Default: 1.</summary>
    public int? NumBeams { get; init; }

    /// <summary>Exponent of the length by which a beam's score is divided. Default: 1.</summary>
    public double? LengthPenalty { get; init; }

    /// <summary>Whether beam search ends as soon as it has as many answers as beams. Default: false.</summary>
    public bool? EarlyStopping { get; init; }

    /// <summary>Ids of the tokens that end an answer. Default: the model's.</summary>
    public IReadOnlyList<int>? EosTokenIds { get; init; }

    /// <summary>Id of the token that pads shorter rows. Default: the model's.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Random seed; null: a new one each time.</summary>
    public long? Seed { get; init; }

    /// <summary>These options, with unset values taken from <paramref name="lower"/>.</summary>
    public GenerationOptions Over(GenerationOptions lower) =>
        new()
        {
            MaxNewTokens = MaxNewTokens ?? lower.MaxNewTokens,
            MinNewTokens = MinNewTokens ?? lower.MinNewTokens,
            MaxLength = MaxLength ?? lower.MaxLength,
            DoSample = DoSample ?? lower.DoSample,
            Temperature = Temperature ?? lower.Temperature,
            TopP = TopP ?? lower.TopP,
            TopK = TopK ?? lower.TopK,
            MinP = MinP ?? lower.MinP,
            RepetitionPenalty = RepetitionPenalty ?? lower.RepetitionPenalty,
            PresencePenalty = PresencePenalty ?? lower.PresencePenalty,
            FrequencyPenalty = FrequencyPenalty ?? lower.FrequencyPenalty,
            LogitBias = LogitBias ?? lower.LogitBias,
            NoRepeatNgramSize = NoRepeatNgramSize ?? lower.NoRepeatNgramSize,
            NumBeams = NumBeams ?? lower.NumBeams,
            LengthPenalty = LengthPenalty ?? lower.LengthPenalty,
            EarlyStopping = EarlyStopping ?? lower.EarlyStopping,
            EosTokenIds = EosTokenIds ?? lower.EosTokenIds,
            PadTokenId = PadTokenId ?? lower.PadTokenId,
            Seed = Seed ?? lower.Seed,
        };

    /// <summary>Checks options in which nothing is left unsaid.</summary>
    /// <exception cref="ArgumentException">Values are out of range or exclude each other: all of them.</exception>
    public void Check() => _ = new GenerationSettings(this, EosTokenIds ?? []);

    /// <summary>Only the stop and padding token ids: what evaluation takes from a model, whose sampling options it
    /// ignores.</summary>
    public GenerationOptions TokensOnly() => new() { EosTokenIds = EosTokenIds, PadTokenId = PadTokenId };
}
