using GlmTune.Kernels.Definitions;

namespace GlmTune.Inference;

/// <summary>Checked generation options, with every value set.</summary>
internal sealed record GenerationSettings
{
    /// <exception cref="ArgumentException">Values are out of range; the message lists them all.</exception>
    public GenerationSettings(GenerationOptions options, IReadOnlyList<int> modelStops)
    {
        var all = options.Over(GenerationOptions.Defaults);
        (MaxNewTokens, MinNewTokens, MaxLength) = (all.MaxNewTokens!.Value, all.MinNewTokens!.Value, all.MaxLength);
        var (temperature, topP, topK, minP) = (
            all.Temperature!.Value,
            all.TopP!.Value,
            all.TopK!.Value,
            all.MinP!.Value
        );
        var (repetition, presence, frequency) = (
            (float)all.RepetitionPenalty!.Value,
            (float)all.PresencePenalty!.Value,
            (float)all.FrequencyPenalty!.Value
        );
        Greedy = !all.DoSample!.Value;
        LogitBias =
        [
            .. (all.LogitBias ?? new Dictionary<int, double>()).Select(bias =>
                KeyValuePair.Create(bias.Key, (float)bias.Value)
            ),
        ];
        NoRepeatNgramSize = all.NoRepeatNgramSize!.Value;
        (Beams, LengthPenalty, EarlyStopping) = (
            all.NumBeams!.Value,
            all.LengthPenalty!.Value,
            all.EarlyStopping!.Value
        );
        Stops = [.. all.EosTokenIds ?? modelStops];
        Seed = all.Seed;

        var problems = new List<string>();
        Check(MaxNewTokens >= 1, $"max_new_tokens is {MaxNewTokens}; expected at least 1");
        Check(MinNewTokens >= 0, $"min_new_tokens is {MinNewTokens}; expected at least 0");
        Check(MaxLength is null or >= 1, $"max_length is {MaxLength}; expected at least 1");
        Check(
            temperature > 0 && double.IsFinite(temperature),
            $"temperature is {temperature}; expected a number above 0 (for greedy decoding, turn do_sample off)"
        );
        Check(topP is > 0 and <= 1, $"top_p is {topP}; expected a number above 0 and at most 1");
        Check(topK >= 0, $"top_k is {topK}; expected at least 1, or 0 to disable it");
        Check(minP is >= 0 and <= 1, $"min_p is {minP}; expected a number from 0 (which disables it) to 1");
        Check(
            repetition > 0 && float.IsFinite(repetition),
            $"repetition_penalty is {repetition}; expected a number above 0"
        );
        Check(float.IsFinite(presence), $"presence_penalty is {presence}; expected a number");
        Check(float.IsFinite(frequency), $"frequency_penalty is {frequency}; expected a number");
        Check(
            Array.TrueForAll(LogitBias, bias => bias.Key >= 0 && float.IsFinite(bias.Value)),
            "logit_bias has a token id below 0, or a bias that is not finite"
        );
        Check(NoRepeatNgramSize >= 0, $"no_repeat_ngram_size is {NoRepeatNgramSize}; expected at least 0");
        Check(Beams >= 1, $"num_beams is {Beams}; expected at least 1");
        Check(double.IsFinite(LengthPenalty), $"length_penalty is {LengthPenalty}; expected a number");
        Check(Beams <= 1 || Greedy, "num_beams above 1 and do_sample cannot be combined; turn one of them off");
        if (problems.Count > 0)
        {
            throw new ArgumentException($"Cannot start generation: {string.Join("; ", problems)}.");
        }

        Rules = new SamplingRow
        {
            Scale = Greedy ? 0 : TokenDraw.ScaleOf(temperature),
            TopK = topK,
            TopP = topP,
            LeastWeight = TokenDraw.LeastWeight(minP),
            RepetitionPenalty = repetition,
            PresencePenalty = presence,
            FrequencyPenalty = frequency,
        };

        void Check(bool holds, string problem)
        {
            if (!holds)
            {
                problems.Add(problem);
            }
        }
    }

    public int MaxNewTokens { get; }

    public int MinNewTokens { get; }

    public int? MaxLength { get; }

    public bool Greedy { get; }

    /// <summary>Temperature, top-k, top-p, min-p and penalties.</summary>
    public SamplingRow Rules { get; }

    public KeyValuePair<int, float>[] LogitBias { get; }

    public int NoRepeatNgramSize { get; }

    public int Beams { get; }

    public double LengthPenalty { get; }

    public bool EarlyStopping { get; }

    public HashSet<int> Stops { get; }

    public long? Seed { get; }
}
