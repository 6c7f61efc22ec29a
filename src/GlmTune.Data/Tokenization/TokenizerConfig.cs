using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Data.Tokenization;

/// <summary>The contents of <c>tokenizer_config.json</c>: special tokens, chat template, maximum input
/// length.</summary>
internal sealed record TokenizerConfig
{
    public static readonly JsonSerializerOptions Writing = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Ids by text from <c>added_tokens_decoder</c>; null if the file does not list them.</summary>
    public IReadOnlyDictionary<string, int>? SpecialTokens { get; init; }

    public string Padding { get; init; } = "<|endoftext|>";

    public string? ChatTemplate { get; init; }

    public int? MaxLength { get; init; }

    private const int MaxTemplateBytes = 4 << 20;

    /// <summary>Reads a folder's file, and <c>chat_template.jinja</c>, where newer tools put the template. A missing
    /// file gives empty values.</summary>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public static TokenizerConfig Read(string folder)
    {
        var path = Path.Combine(folder, "tokenizer_config.json");
        var templatePath = Path.Combine(folder, "chat_template.jinja");
        var separate = File.Exists(templatePath) ? RegularFile.ReadText(templatePath, MaxTemplateBytes) : null;
        if (!File.Exists(path))
        {
            return new TokenizerConfig { ChatTemplate = separate };
        }

        var root = JsonPlace.ReadObject(path);
        return new TokenizerConfig
        {
            SpecialTokens = root.Find("added_tokens_decoder") is { Value.ValueKind: JsonValueKind.Object } added
                ? SpecialTokensIn(added)
                : null,
            Padding = Text(root, "pad_token") ?? Text(root, "eos_token") ?? "<|endoftext|>",
            ChatTemplate = separate ?? Template(root),
            MaxLength =
                root.Find("model_max_length") is { Value.ValueKind: JsonValueKind.Number } length
                && length.Value.TryGetInt32(out var tokens)
                    ? tokens
                    : null,
        };
    }

    /// <summary>Writes the file for either layout.</summary>
    public static void Write(Tokenizer tokenizer, string folder, string tokenizerClass, string? chatTemplate)
    {
        var special = tokenizer.Special;
        var config = new JsonObject
        {
            ["added_tokens_decoder"] = new JsonObject(
                special.All.Select(token =>
                    KeyValuePair.Create<string, JsonNode?>(
                        token.Value.ToString(CultureInfo.InvariantCulture),
                        Flags(token.Key)
                    )
                )
            ),
            ["additional_special_tokens"] = new JsonArray([.. special.All.Keys.Select(text => JsonValue.Create(text))]),
            ["clean_up_tokenization_spaces"] = false,
            ["do_lower_case"] = false,
            ["eos_token"] = special.TextOf(special.EndOfText),
            ["pad_token"] = special.PaddingText,
            ["padding_side"] = "left",
            ["model_input_names"] = new JsonArray("input_ids", "attention_mask"),
            ["tokenizer_class"] = tokenizerClass,
        };
        if (tokenizer.MaxLength is { } length)
        {
            config["model_max_length"] = length;
        }

        if ((chatTemplate ?? tokenizer.ChatTemplate) is { } template)
        {
            config["chat_template"] = template;
        }

        AtomicFile.Write(
            Path.Combine(folder, "tokenizer_config.json"),
            file => JsonSerializer.Serialize(file, config, Writing)
        );
    }

    /// <summary>A special token in the form that both layouts use.</summary>
    public static JsonObject Flags(string content) =>
        new()
        {
            ["content"] = content,
            ["single_word"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["normalized"] = false,
            ["special"] = true,
        };

    private static Dictionary<string, int> SpecialTokensIn(JsonPlace added)
    {
        var tokens = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (id, token) in added.Properties())
        {
            if (!int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            {
                throw new InvalidDataException(
                    $"{added.Path}: '{added.Name}' has the key '{id}'; expected token ids as keys."
                );
            }

            if (!tokens.TryAdd(token["content"].Text(), number))
            {
                throw new InvalidDataException(
                    $"{added.Path}: '{added.Name}' has the token '{token["content"].Text()}' twice."
                );
            }
        }

        return tokens;
    }

    // A token is written as its text, or as an object that contains it.
    private static string? Text(JsonPlace root, string key) =>
        root.Find(key) is not { } value ? null
        : value.Value.ValueKind == JsonValueKind.Object ? value["content"].Text()
        : value.Text();

    // One template, or a list of named ones; the one for chat is called default.
    private static string? Template(JsonPlace root) =>
        root.Find("chat_template") is not { } value ? null
        : value.Value.ValueKind == JsonValueKind.Array
            ? value
                .Items()
                .Where(named => Text(named, "name") == "default")
                .Select(named => Text(named, "template"))
                .FirstOrDefault()
        : value.Text();
}
