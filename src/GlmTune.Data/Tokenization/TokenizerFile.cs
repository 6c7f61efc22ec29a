using GlmTune.Files;

namespace GlmTune.Data.Tokenization;

/// <summary>Reads and writes a tokenizer's files in a model folder, in GLM-4's own layout or in the library
/// layout.</summary>
/// <remarks>GLM-4's layout: <c>tokenizer.model</c> (ranks) and <c>tokenizer_config.json</c> (special tokens, chat
/// template). Library layout: <c>tokenizer.json</c> and <c>tokenizer_config.json</c>, which transformers and vLLM
/// read.</remarks>
public static class TokenizerFile
{
    // Some contain code or settings for other programs: they are copied unchanged and never run.
    private static readonly string[] Names =
    [
        "tokenizer.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "tokenization_chatglm.py",
    ];

    /// <summary>Whether the folder has a tokenizer in either layout.</summary>
    public static bool IsIn(string folder) =>
        File.Exists(Path.Combine(folder, "tokenizer.model")) || File.Exists(Path.Combine(folder, "tokenizer.json"));

    /// <summary>Reads a model folder's tokenizer, from <c>tokenizer.model</c> if it exists, otherwise from
    /// <c>tokenizer.json</c>.</summary>
    /// <remarks>The special tokens are those listed in <c>tokenizer_config.json</c> or <c>tokenizer.json</c>; without a
    /// list, GLM-4's fourteen after the last rank. If <c>tokenizer.model</c> is a SentencePiece model, they are
    /// ChatGLM3's.</remarks>
    /// <exception cref="InvalidDataException">The folder has no tokenizer, or a file is damaged or of another
    /// kind.</exception>
    public static Tokenizer Read(string folder)
    {
        var (model, json) = (Path.Combine(folder, "tokenizer.model"), Path.Combine(folder, "tokenizer.json"));
        var config = TokenizerConfig.Read(folder);
        byte[][] ranks;
        IReadOnlyDictionary<string, int>? special;
        if (File.Exists(model))
        {
            FileContent.Check(model);
            var content = RegularFile.ReadBytes(model);
            if (SentencePieceModel.IsOne(content))
            {
                return ReadSentencePiece(content, model, config);
            }

            ranks = TokenRanks.Parse(content, model);
            special = config.SpecialTokens;
            if (special is { Count: > 0 } && ranks.Length < special.Values.Min())
            {
                throw new InvalidDataException(
                    $"{model}: has {ranks.Length} tokens, but the special tokens in tokenizer_config.json start at "
                        + $"{special.Values.Min()}. Is the download complete, and are both from the same model?"
                );
            }
        }
        else if (File.Exists(json))
        {
            (ranks, special) = TokenizerJson.Read(json);
            CheckAgree(config.SpecialTokens, special, folder);
        }
        else
        {
            throw new InvalidDataException(
                $"{folder}: no tokenizer.model and no tokenizer.json. Copy them from the original model."
            );
        }

        try
        {
            special = special is { Count: > 0 } ? special : SpecialTokens.After(ranks.Length).All;
            return new Tokenizer(ranks, new SpecialTokens(special, config.Padding))
            {
                ChatTemplate = config.ChatTemplate,
                MaxLength = config.MaxLength,
            };
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"{folder}: {e.Message}", e);
        }
    }

    private static Tokenizer ReadSentencePiece(byte[] content, string path, TokenizerConfig config)
    {
        var model = SentencePieceModel.Parse(content, path);
        var special = SpecialTokens.Of(model);
        foreach (var (text, id) in config.SpecialTokens ?? special.All)
        {
            if (special.All.TryGetValue(text, out var expected) && expected != id)
            {
                throw new InvalidDataException(
                    $"{path}: has {model.Pieces.Count} pieces, after which '{text}' is {expected}; in "
                        + $"tokenizer_config.json it is {id}. Are both from the same model?"
                );
            }
        }

        return new Tokenizer(model, special) { ChatTemplate = config.ChatTemplate, MaxLength = config.MaxLength };
    }

    /// <summary>Writes <c>tokenizer.model</c> and <c>tokenizer_config.json</c>.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="folder">Target folder; created if needed.</param>
    /// <param name="chatTemplate">A chat template to write instead of the tokenizer's own, such as the preset that a
    /// model was trained with.</param>
    public static void WriteOriginal(Tokenizer tokenizer, string folder, string? chatTemplate = null)
    {
        AtomicFile.Write(
            Path.Combine(folder, "tokenizer.model"),
            file => file.Write(tokenizer.SentencePiece?.File ?? TokenRanks.Format(tokenizer.Ranks))
        );
        TokenizerConfig.Write(
            tokenizer,
            folder,
            tokenizer.SentencePiece is null ? "ChatGLM4Tokenizer" : "ChatGLMTokenizer",
            chatTemplate
        );
    }

    /// <summary>Writes <c>tokenizer.json</c> and <c>tokenizer_config.json</c>.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="folder">Target folder; created if needed.</param>
    /// <param name="chatTemplate">A chat template to write instead of the tokenizer's own.</param>
    /// <exception cref="InvalidDataException">The special tokens do not directly follow the ranks, which the format
    /// cannot represent.</exception>
    public static void WriteLibrary(Tokenizer tokenizer, string folder, string? chatTemplate = null)
    {
        if (tokenizer.SentencePiece is not null)
        {
            // The library's loader of this kind of tokenizer reads the same file.
            WriteOriginal(tokenizer, folder, chatTemplate);
            return;
        }

        TokenizerJson.Write(tokenizer, Path.Combine(folder, "tokenizer.json"));
        TokenizerConfig.Write(tokenizer, folder, "PreTrainedTokenizerFast", chatTemplate);
    }

    /// <summary>Copies a model folder's tokenizer files unchanged to another folder, such as a checkpoint.</summary>
    /// <exception cref="InvalidDataException"><paramref name="from"/> has no tokenizer.</exception>
    public static void Copy(string from, string to)
    {
        if (!IsIn(from))
        {
            throw new InvalidDataException($"{from}: no tokenizer.model and no tokenizer.json to copy.");
        }

        foreach (var name in Names.Where(name => File.Exists(Path.Combine(from, name))))
        {
            AtomicFile.Copy(Path.Combine(from, name), Path.Combine(to, name));
        }
    }

    private static void CheckAgree(
        IReadOnlyDictionary<string, int>? config,
        IReadOnlyDictionary<string, int> json,
        string folder
    )
    {
        foreach (var (text, id) in config ?? json)
        {
            if (!json.TryGetValue(text, out var other) || other != id)
            {
                throw new InvalidDataException(
                    $"{folder}: the special token '{text}' is {id} in tokenizer_config.json but "
                        + $"{(other == 0 ? "missing" : other)} in tokenizer.json. Are both from the same model?"
                );
            }
        }
    }
}
