namespace GlmTune.Inference;

/// <summary>Checked generation options, with every value set.</summary>
internal sealed record GenerationSettings
{
    /// <exception cref="ArgumentException">Values are out of range; the message lists them all.</exception>
    public GenerationSettings(GenerationOptions options, IReadOnlyList<int> modelStops)
    {
        var all = options.Over(GenerationOptions.Defaults);
        (MaxNewTokens, MinNewTokens, MaxLength) = (all.MaxNewTokens!.Value, all.MinNewTokens!.Value, all.MaxLength);
        (Temperature, TopP, TopK) = (all.Temperature!.Value, all.TopP!.Value, all.TopK!.Value);
        MinP = all.MinP!.Value;
        Greedy = !all.DoSample!.Value;
        (RepetitionPenalty, PresencePenalty, FrequencyPenalty) = (
            (float)all.RepetitionPenalty!.Value,
            (float)all.PresencePenalty!.Value,
            (float)all.FrequencyPenalty!.Value
        );
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
            Temperature > 0 && double.IsFinite(Temperature),
            $"temperature is {Temperature}; expected a number above 0 (for greedy decoding, turn do_sample off)"
        );
        Check(TopP is > 0 and <= 1, $"top_p is {TopP}; expected a number above 0 and at most 1");
        Check(TopK >= 0, $"top_k is {TopK}; expected at least 1, or 0 to disable it");
        Check(MinP is >= 0 and <= 1, $"min_p is {MinP}; expected a number from 0 (which disables it) to 1");
        Check(
            RepetitionPenalty > 0 && float.IsFinite(RepetitionPenalty),
            $"repetition_penalty is {RepetitionPenalty}; expected a number above 0"
        );
        Check(float.IsFinite(PresencePenalty), $"presence_penalty is {PresencePenalty}; expected a number");
        Check(float.IsFinite(FrequencyPenalty), $"frequency_penalty is {FrequencyPenalty}; expected a number");
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

    public double Temperature { get; }

    public double TopP { get; }

    public int TopK { get; }

    public double MinP { get; }

    public float RepetitionPenalty { get; }

    public float PresencePenalty { get; }

    public float FrequencyPenalty { get; }

    public KeyValuePair<int, float>[] LogitBias { get; }

    public int NoRepeatNgramSize { get; }

    public int Beams { get; }

    public double LengthPenalty { get; }

    public bool EarlyStopping { get; }

    public HashSet<int> Stops { get; }

    public long? Seed { get; }
}
