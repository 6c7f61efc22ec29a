using GlmTune.Inference;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads <c>training_args.generation_config</c>: how evaluation generates answers.</summary>
internal static class GenerationSection
{
    private static readonly (string Key, string Reason)[] WithoutEffect =
    [
        ("use_cache", "keys and values are always cached"),
        ("cache_implementation", "there is only one kind of cache"),
        ("cache_config", "there is only one kind of cache"),
        ("bos_token_id", "the template starts every prompt"),
        ("decoder_start_token_id", "the model has no encoder"),
        ("remove_invalid_values", "a value that is not finite ends the run"),
        ("output_attentions", "it is not used"),
        ("output_hidden_states", "it is not used"),
        ("output_scores", "it is not used"),
        ("output_logits", "it is not used"),
        ("return_dict_in_generate", "it is not used"),
        ("transformers_version", "it is not used"),
        ("_from_model_config", "it is not used"),
    ];

    public static GenerationOptions Read(Section arguments)
    {
        var section = arguments.Child("generation_config");
        var defaults = GenerationOptions.Defaults;
        var options = new GenerationOptions
        {
            MaxNewTokens = section.IntOrNull(
                "max_new_tokens",
                least: 1,
                fallback: Scalars.Write(defaults.MaxNewTokens)
            ),
            MinNewTokens = section.IntOrNull("min_new_tokens", fallback: Scalars.Write(defaults.MinNewTokens)),
            MaxLength = section.IntOrNull("max_length", least: 1),
            DoSample = section.FlagOrNull("do_sample", Scalars.Write(defaults.DoSample)),
            Temperature = section.NumberOrNull("temperature", Bounds.Positive, Scalars.Write(defaults.Temperature)),
            TopP = section.NumberOrNull("top_p", Bounds.ShareAboveZero, Scalars.Write(defaults.TopP)),
            TopK = section.IntOrNull("top_k", fallback: Scalars.Write(defaults.TopK)),
            MinP = section.NumberOrNull("min_p", Bounds.Share, Scalars.Write(defaults.MinP)),
            RepetitionPenalty = section.NumberOrNull(
                "repetition_penalty",
                Bounds.Positive,
                Scalars.Write(defaults.RepetitionPenalty)
            ),
            NoRepeatNgramSize = section.IntOrNull(
                "no_repeat_ngram_size",
                fallback: Scalars.Write(defaults.NoRepeatNgramSize)
            ),
            NumBeams = section.IntOrNull("num_beams", least: 1, most: 1024, fallback: Scalars.Write(defaults.NumBeams)),
            LengthPenalty = section.NumberOrNull(
                "length_penalty",
                new Bounds(-100, 100),
                Scalars.Write(defaults.LengthPenalty)
            ),
            EarlyStopping = section.FlagOrNull("early_stopping", Scalars.Write(defaults.EarlyStopping)),
            EosTokenIds = TokenIds(section),
            PadTokenId = section.IntOrNull("pad_token_id", fallback: "the model's"),
            Seed = section.WholeOrNull("seed"),
        };
        if (arguments.IntOrNull("generation_num_beams", least: 1, most: 1024) is { } beams)
        {
            options = options with { NumBeams = options.NumBeams ?? beams };
        }

        if (options is { DoSample: true, NumBeams: > 1 })
        {
            section.Problem(
                "num_beams",
                $"'{section.Full("num_beams")}' is {options.NumBeams} and do_sample is true; beam search "
                    + "does not sample, so remove one of them"
            );
        }

        foreach (var (key, neutral) in GenerationConfigFile.NotSupported)
        {
            section.Unsupported(key, "", neutral);
        }

        Array.ForEach(WithoutEffect, key => section.NoEffect(key.Key, key.Reason));
        section.End();
        return options;
    }

    /// <summary>A single id or a list of ids.</summary>
    private static IReadOnlyList<int>? TokenIds(Section section)
    {
        const string key = "eos_token_id";
        if (section.Node(key, "the model's") is not { } node)
        {
            return null;
        }

        var ids = new List<int>();
        foreach (var item in node is ConfigList list ? list.Items : [node])
        {
            if (item is not ConfigText text || !Scalars.TryWhole(text.Text, out var id) || id is < 0 or > int.MaxValue)
            {
                return section.Wrong<IReadOnlyList<int>>(key, node, "a token id or a list of token ids");
            }

            ids.Add((int)id);
        }

        return ids.Count > 0 ? ids : section.Wrong<IReadOnlyList<int>>(key, node, "at least one token id");
    }
}
