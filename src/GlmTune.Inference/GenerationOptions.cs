namespace GlmTune.Inference;

/// <summary>How an answer is generated, under the names of Hugging Face's <c>GenerationConfig</c>. Null means "not
/// said", so that options of several sources can be laid over each other.</summary>
/// <remarks>Immutable. <see cref="Defaults"/> holds what a value is when nobody says it.</remarks>
public sealed record GenerationOptions
{
    /// <summary>What holds where no source says anything: greedy, one beam, 1,024 tokens.</summary>
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

    /// <summary>Most tokens generated; at least 1. Default 1024.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Tokens before a stop token may come; not negative. Default 0.</summary>
    public int? MinNewTokens { get; init; }

    /// <summary>Most tokens of prompt and answer together; at least 1. Default: no such limit.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Draw at random, not the likeliest. Default false.</summary>
    public bool? DoSample { get; init; }

    /// <summary>Divides the logits before sampling; positive. Default 1.</summary>
    public double? Temperature { get; init; }

    /// <summary>Sample among the likeliest tokens whose probabilities reach this sum; above 0, at most 1. Default
    /// 1.</summary>
    public double? TopP { get; init; }

    /// <summary>Sample among so many likeliest tokens; 0 turns it off. Default 50.</summary>
    public int? TopK { get; init; }

    /// <summary>Sample among the tokens whose probability is at least this share of the likeliest one's; from 0, which
    /// turns it off, to 1. Default 0.</summary>
    public double? MinP { get; init; }

    /// <summary>Above 1, tokens that have occurred in prompt or answer become less likely; positive. Default
    /// 1.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Taken from the logit of every token that has occurred in the answer. Default 0.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>Taken from the logit of a token for each time it has occurred in the answer. Default 0.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>What is added to the logits of some tokens, by their ids, before any other rule. Default
    /// nothing.</summary>
    public IReadOnlyDictionary<int, double>? LogitBias { get; init; }

    /// <summary>No run of so many tokens comes twice; 0 turns it off. Default 0.</summary>
    public int? NoRepeatNgramSize { get; init; }

    /// <summary>Beams of a beam search; 1 is none. Default 1.</summary>
    public int? NumBeams { get; init; }

    /// <summary>Exponent of the length by which a beam's score is divided. Default 1.</summary>
    public double? LengthPenalty { get; init; }

    /// <summary>Whether a beam search ends as soon as it has as many answers as beams. Default false.</summary>
    public bool? EarlyStopping { get; init; }

    /// <summary>Token ids that end an answer. Default: the model's.</summary>
    public IReadOnlyList<int>? EosTokenIds { get; init; }

    /// <summary>Token id that fills up shorter rows. Default: the model's.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Seed of sampling; null draws a new one.</summary>
    public long? Seed { get; init; }

    /// <summary>These options, and <paramref name="lower"/>'s where these say nothing.</summary>
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

    /// <summary>Only the token ids that end and fill rows: what evaluation takes from a model, whose sampling it
    /// ignores.</summary>
    public GenerationOptions TokensOnly() => new() { EosTokenIds = EosTokenIds, PadTokenId = PadTokenId };
}
