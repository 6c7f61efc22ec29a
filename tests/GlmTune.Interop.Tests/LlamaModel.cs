using System.Text;
using LLama.Native;

namespace GlmTune.Interop.Tests;

/// <summary>A GGUF file in llama.cpp.</summary>
internal sealed class LlamaModel : IDisposable
{
    private readonly SafeLlamaModelHandle model;

    public LlamaModel(string path, bool vocabularyOnly = false)
    {
        LlamaCpp.Load();
        var options = LLamaModelParams.Default();
        options.vocab_only = vocabularyOnly;
        model = SafeLlamaModelHandle.LoadFromFile(path, options);
    }

    public string? Metadata(string key)
    {
        // The method for one key returns an empty text.
        for (var i = 0; i < model.MetadataCount; i++)
        {
            if (Text(model.MetadataKeyByIndex(i)) == key)
            {
                return Text(model.MetadataValueByIndex(i));
            }
        }

        return null;
    }

    /// <summary>A conversation as text, with the prompt for an answer.</summary>
    public string Render(IEnumerable<(string Role, string Text)> messages)
    {
        var template = new LLama.LLamaTemplate(model) { AddAssistant = true };
        foreach (var (role, text) in messages)
        {
            template.Add(role, text);
        }

        return Encoding.UTF8.GetString(template.Apply());
    }

    public int VocabularySize => model.Vocab.Count;

    /// <summary>Ids of a text, with the texts of special tokens as these tokens.</summary>
    public int[] Tokenize(string text) =>
        Array.ConvertAll(model.Tokenize(text, addBos: true, special: true, Encoding.UTF8), token => (int)token);

    /// <summary>Whether a token ends an answer.</summary>
    public bool IsEnd(int token) => ((LLamaToken)token).IsEndOfGeneration(model);

    /// <summary>Logits after each token, [ids, vocabulary].</summary>
    public float[][] Logits(int[] ids, string? adapter = null)
    {
        using var context = NewContext(ids.Length, adapter);
        return Decode(context, ids, 0, all: true);
    }

    /// <summary>The most probable continuation.</summary>
    public int[] Greedy(int[] prompt, int count)
    {
        using var context = NewContext(prompt.Length + count, null);
        List<int> answer = [];
        var (ids, position) = (prompt, 0);
        while (answer.Count < count)
        {
            var logits = Decode(context, ids, position, all: false)[0];
            position += ids.Length;
            var next = Array.IndexOf(logits, logits.Max());
            answer.Add(next);
            if (IsEnd(next))
            {
                break;
            }

            ids = [next];
        }

        return [.. answer];
    }

    /// <summary>The calling thread's seconds for each token of an answer after the first; what ends an answer does not
    /// end it.</summary>
    public double SecondsPerToken(int[] prompt, int count)
    {
        using var context = NewContext(prompt.Length + count, null);
        var (ids, position, begun) = (prompt, 0, 0.0);
        for (var token = 0; token < count; token++)
        {
            var logits = Decode(context, ids, position, all: false)[0];
            position += ids.Length;
            ids = [Array.IndexOf(logits, logits.Max())];
            begun = token == 0 ? ThreadClock.Seconds : begun;
        }

        return (ThreadClock.Seconds - begun) / (count - 1);
    }

    public void Dispose() => model.Dispose();

    private static string? Text(Memory<byte>? bytes) =>
        bytes is { } text ? Encoding.UTF8.GetString(text.Span).TrimEnd('\0') : null;

    private SafeLLamaContextHandle NewContext(int length, string? adapter)
    {
        var options = LLamaContextParams.Default();
        options.n_ctx = (uint)Math.Max(256, length);
        options.n_batch = options.n_ubatch = options.n_ctx;
        options.n_threads = options.n_threads_batch = 1;
        options.type_k = options.type_v = GGMLType.GGML_TYPE_F32;
        options.llama_flash_attn_type = LLamaFlashAttentionType.LLAMA_FLASH_ATTENTION_TYPE_DISABLED;
        var context = SafeLLamaContextHandle.Create(model, options);
        if (adapter is not null)
        {
            context.SetLoraAdapters([(model.LoadLoraFromFile(adapter), 1f)]);
        }

        return context;
    }

    private static float[][] Decode(SafeLLamaContextHandle context, int[] ids, int position, bool all)
    {
        var batch = new LLamaBatch();
        for (var i = 0; i < ids.Length; i++)
        {
            batch.Add((LLamaToken)ids[i], position + i, LLamaSeqId.Zero, all || i == ids.Length - 1);
        }

        Assert.Equal(DecodeResult.Ok, context.Decode(batch));
        return
        [
            .. Enumerable
                .Range(0, ids.Length)
                .Where(i => all || i == ids.Length - 1)
                .Select(i => context.GetLogitsIth(i).ToArray()),
        ];
    }
}
