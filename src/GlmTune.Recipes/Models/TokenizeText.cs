using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;

namespace GlmTune.Recipes.Models;

/// <summary>How <see cref="TokenizeText"/> treats special tokens.</summary>
internal enum TextReading
{
    /// <summary>Everything is plain text, including the text of special tokens; nothing is added.</summary>
    Plain,

    /// <summary>The text of a special token becomes that token; nothing is added.</summary>
    SpecialTokens,

    /// <summary>The text is a user message: [gMASK] &lt;sop&gt; &lt;|user|&gt; … &lt;|assistant|&gt;.</summary>
    Chat,
}

/// <summary>Converts texts to token ids; needs only a tokenizer's files.</summary>
internal static partial class TokenizeText
{
    private static readonly UTF8Encoding Strict = new(
        encoderShouldEmitUTF8Identifier: false,
        throwOnInvalidBytes: true
    );

    /// <summary>The tokenizer of a model; for an adapter without one, that of its base.</summary>
    /// <exception cref="InvalidDataException">The model does not exist, or its tokenizer cannot be read.</exception>
    public static Tokenizer ReadTokenizer(string model)
    {
        var folder = ModelReference.Resolve(model);
        return TokenizerFile.Read(
            TokenizerFile.IsIn(folder) || !AdapterConfigFile.IsIn(folder)
                ? folder
                : TunedPath.Resolve(folder).ModelFolder
        );
    }

    /// <summary>The ids of one text.</summary>
    public static int[] Encode(Tokenizer tokenizer, string text, TextReading reading) =>
        reading switch
        {
            TextReading.Chat => new Glm4Template(tokenizer).RenderPrompt(
                new Conversation([new Message(Role.User, text)])
            ),
            TextReading.SpecialTokens => tokenizer.EncodeWithSpecialTokens(text),
            _ => tokenizer.Encode(text),
        };

    /// <summary>A whole file as one text; a byte order mark is skipped.</summary>
    /// <exception cref="InvalidDataException">The file is not UTF-8.</exception>
    public static string ReadFile(string path)
    {
        try
        {
            var bytes = File.ReadAllBytes(path);
            return Strict.GetString(bytes.AsSpan(bytes.AsSpan().StartsWith("\uFEFF"u8) ? 3 : 0));
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidDataException($"{path}: byte {e.Index} is not valid UTF-8; expected a text file.", e);
        }
    }

    /// <summary>The texts of a JSON Lines file, one per line: a JSON string, or an object with the string
    /// <c>text</c>.</summary>
    /// <exception cref="InvalidDataException">The file does not exist, or a line holds something else; the message has
    /// the line number.</exception>
    public static IEnumerable<string> ReadLines(string path) =>
        JsonLines.Read(path).Select(line => ReadLine(path, line));

    private static string ReadLine(string path, JsonLine line)
    {
        InvalidDataException Wrong(string found) =>
            new($"{path}, line {line.Number}: {found}; expected a JSON string, or {{\"text\": …}}.");
        if (line.IsTooLong)
        {
            throw new InvalidDataException(
                $"{path}, line {line.Number}: the line has more than {JsonLines.MaxBytes >> 20} MiB, the " + "maximum."
            );
        }

        try
        {
            using var json = JsonDocument.Parse(Mend(Strict.GetString(line.Text)));
            var value = json.RootElement;
            if (value.ValueKind == JsonValueKind.Object && !value.TryGetProperty("text", out value))
            {
                throw Wrong("an object without 'text'");
            }

            return value.ValueKind == JsonValueKind.String
                ? value.GetString()!
                : throw Wrong($"found {value.ValueKind.ToString().ToLowerInvariant()}");
        }
        catch (JsonException)
        {
            throw Wrong("not valid JSON");
        }
        catch (DecoderFallbackException)
        {
            throw Wrong("not UTF-8");
        }
    }

    // JSON can contain an unpaired surrogate; it is read as U+FFFD, as the tokenizer reads it.
    private static string Mend(string json) =>
        !json.Contains("\\u", StringComparison.Ordinal)
            ? json
            : Escape().Replace(json, found => found.Groups["half"].Success ? "\\ufffd" : found.Value);

    [GeneratedRegex(
        @"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
        RegexOptions.CultureInvariant
    )]
    private static partial Regex Escape();
}
