using System.Globalization;
using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Inference;

/// <summary>Reads a model's <c>generation_config.json</c>.</summary>
internal static class GenerationConfigFile
{
    /// <summary>The file's name in a model folder.</summary>
    public const string Name = "generation_config.json";

    /// <summary>Keys of the library's <c>GenerationConfig</c> that change answers and are not supported here, each with
    /// the value that has no effect (besides null).</summary>
    public static IReadOnlyList<(string Key, string Neutral)> NotSupported { get; } =
    [
        ("min_length", "0"),
        ("num_return_sequences", "1"),
        ("num_beam_groups", "1"),
        ("diversity_penalty", "0"),
        ("penalty_alpha", ""),
        ("top_h", ""),
        ("typical_p", "1"),
        ("epsilon_cutoff", "0"),
        ("eta_cutoff", "0"),
        ("encoder_repetition_penalty", "1"),
        ("bad_words_ids", ""),
        ("force_words_ids", ""),
        ("constraints", ""),
        ("forced_bos_token_id", ""),
        ("forced_eos_token_id", ""),
        ("exponential_decay_length_penalty", ""),
        ("suppress_tokens", ""),
        ("begin_suppress_tokens", ""),
        ("sequence_bias", ""),
        ("guidance_scale", "1"),
        ("watermarking_config", ""),
        ("token_healing", ""),
        ("stop_strings", ""),
        ("max_time", ""),
        ("prompt_lookup_num_tokens", ""),
        ("dola_layers", ""),
        ("renormalize_logits", ""),
    ];

    /// <summary>The options in a file. Missing or null keys stay unset, and keys without meaning here are
    /// ignored.</summary>
    /// <exception cref="InvalidDataException">The file is not a JSON object, or values have a wrong type or range; the
    /// message has one line for each.</exception>
    public static GenerationOptions Read(string path)
    {
        var values = new Values(JsonFile.ReadObject(path));
        var options = Read(values);
        return values.Problems.Count == 0
            ? options
            : throw new InvalidDataException(
                string.Join('\n', values.Problems.Select(problem => $"{path}: {problem}"))
            );
    }

    /// <summary>Notes, one sentence each, about keys of a folder's file that would change answers in other programs but
    /// have no effect here.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read(string)"/>.</exception>
    public static IReadOnlyList<string> FindNotes(string folder)
    {
        var path = Path.Combine(folder, Name);
        if (!File.Exists(path))
        {
            return [];
        }

        var values = new Values(JsonFile.ReadObject(path));
        return
        [
            .. NotSupported
                .Select(key => (key.Key, Value: values.Written(key.Key), key.Neutral))
                .Where(key => key.Value is not null && key.Value != "[]" && !IsNeutral(key.Value, key.Neutral))
                .Select(key =>
                    $"{path}: '{key.Key}' is {key.Value}, which is not supported and has no effect; other "
                    + "programs may give different answers."
                ),
        ];
    }

    private static bool IsNeutral(string value, string neutral) =>
        value is "false"
        || value == neutral
        || (
            double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            && double.TryParse(neutral, NumberStyles.Float, CultureInfo.InvariantCulture, out var same)
            && number == same
        );

    /// <summary>The options of a model folder; none are set if it has no such file.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read(string)"/>.</exception>
    public static GenerationOptions ReadFolder(string folder)
    {
        var path = Path.Combine(folder, Name);
        return File.Exists(path) ? Read(path) : new GenerationOptions();
    }

    private static GenerationOptions Read(Values values) =>
        new()
        {
            MaxNewTokens = values.Whole("max_new_tokens", least: 1),
            MinNewTokens = values.Whole("min_new_tokens"),
            MaxLength = values.Whole("max_length", least: 1),
            DoSample = values.Flag("do_sample"),
            Temperature = values.Number("temperature", "a number above 0", value => value > 0),
            TopP = values.Number("top_p", "a number above 0 and at most 1", value => value is > 0 and <= 1),
            TopK = values.Whole("top_k"),
            MinP = values.Number("min_p", "a number from 0 to 1", value => value is >= 0 and <= 1),
            RepetitionPenalty = values.Number("repetition_penalty", "a number above 0", value => value > 0),
            NoRepeatNgramSize = values.Whole("no_repeat_ngram_size"),
            NumBeams = values.Whole("num_beams", least: 1),
            LengthPenalty = values.Number("length_penalty", "a number", double.IsFinite),
            EarlyStopping = values.Flag("early_stopping"),
            EosTokenIds = values.TokenIds("eos_token_id"),
            PadTokenId = values.Whole("pad_token_id"),
        };

    private sealed class Values(JsonElement root)
    {
        public List<string> Problems { get; } = [];

        public string? Written(string key) => Find(key)?.GetRawText();

        public int? Whole(string key, int least = 0) =>
            Find(key) is not { } value ? null
            : TryWhole(value, least, out var number) ? number
            : Wrong<int?>(key, value, $"a whole number of at least {least}");

        public double? Number(string key, string expected, Predicate<double> fits) =>
            Find(key) is not { } value ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && fits(number) ? number
            : Wrong<double?>(key, value, expected);

        public bool? Flag(string key) =>
            Find(key) is not { } value ? null
            : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
            : Wrong<bool?>(key, value, "true or false");

        public IReadOnlyList<int>? TokenIds(string key)
        {
            if (Find(key) is not { } value)
            {
                return null;
            }

            var ids = new List<int>();
            foreach (
                var item in value.ValueKind == JsonValueKind.Array
                    ? value.EnumerateArray()
                    : Enumerable.Repeat(value, 1)
            )
            {
                if (!TryWhole(item, 0, out var id))
                {
                    return Wrong<IReadOnlyList<int>>(key, value, "a token id or a list of token ids");
                }

                ids.Add(id);
            }

            return ids;
        }

        private static bool TryWhole(JsonElement value, int least, out int number)
        {
            number = 0;
            if (
                value.ValueKind != JsonValueKind.Number
                || !value.TryGetDouble(out var read)
                || read != Math.Floor(read)
                || read < least
                || read > int.MaxValue
            )
            {
                return false;
            }

            number = (int)read;
            return true;
        }

        private JsonElement? Find(string key) =>
            root.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

        private T? Wrong<T>(string key, JsonElement value, string expected)
        {
            Problems.Add($"'{key}' is {value.GetRawText()}; expected {expected}");
            return default;
        }
    }
}
