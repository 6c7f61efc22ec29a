using System.Runtime.InteropServices;
using GlmTune.Model.Adapters;

namespace GlmTune.Inference;

/// <summary>One prompt on its way to an answer.</summary>
internal sealed class GenerationRow
{
    private readonly List<GeneratedToken> generated = [];

    /// <exception cref="ArgumentException">The prompt is empty, holds no tokens of this model, or is too long; options
    /// are out of range.</exception>
    public GenerationRow(
        int index,
        GenerationRequest request,
        GenerationSettings settings,
        int vocabularySize,
        int maxPositions,
        ServedAdapter? adapter = null
    )
    {
        if (request.Prompt.Count == 0)
        {
            throw new ArgumentException($"Prompt {index} is empty; a prompt needs at least one token.");
        }

        if (request.Prompt.FirstOrDefault(id => (uint)id >= (uint)vocabularySize, -1) is var wrong and not -1)
        {
            throw new ArgumentException(
                $"Prompt {index} contains id {wrong}; this model's token ids are 0 to {vocabularySize - 1}."
            );
        }

        var longest = Math.Min(maxPositions, settings.MaxLength ?? int.MaxValue);
        if (request.Prompt.Count >= longest)
        {
            throw new PromptTooLongException(request.Prompt.Count, longest);
        }

        (Index, Request, Settings, Adapter) = (index, request, settings, adapter);
        MaxTokens = Math.Min(settings.MaxNewTokens, longest - request.Prompt.Count);
        Sampler = new Sampler(request.Prompt, settings, request.Mask, index);
    }

    public int Index { get; }

    public GenerationRequest Request { get; }

    public GenerationSettings Settings { get; }

    /// <summary>The served adapter that answers; null: none.</summary>
    public ServedAdapter? Adapter { get; }

    /// <summary>Tokens of the answer, at most.</summary>
    public int MaxTokens { get; }

    /// <summary>Tokens of prompt and answer together, at most.</summary>
    public int MaxLength => Request.Prompt.Count + MaxTokens;

    /// <summary>Tokens of the answer still to come, at most.</summary>
    public int Left => MaxTokens - generated.Count;

    public Sampler Sampler { get; }

    /// <summary>Prompt and answer so far.</summary>
    public List<int> Tokens => Sampler.Tokens;

    /// <summary>Where its keys and values are; −1 while it waits.</summary>
    public int Slot { get; set; } = -1;

    /// <summary>How many of <see cref="Tokens"/> are in the cache.</summary>
    public int Cached { get; set; }

    /// <summary>How many of the prompt's tokens it took over from another row when it first entered; null
    /// before.</summary>
    public int? Reused { get; private set; }

    /// <summary>Tokens that the next pass must take in before one can be chosen.</summary>
    public int Pending => Tokens.Count - Cached;

    /// <summary>Whether its answer is whole.</summary>
    public bool Finished => generated.Count > 0 && generated[^1].Finish is not null;

    /// <summary>Above 1, it is no row of a batch but a beam search.</summary>
    public int Beams => Settings.Beams;

    /// <summary>Whether nothing but the likeliest token's id is asked for.</summary>
    public bool ArgmaxSuffices => Sampler.ArgmaxSuffices && !Request.LogProbabilities;

    /// <summary>Whether <see cref="SampleAmong"/> may be tried.</summary>
    public bool TopTokensMaySuffice => Sampler.TopTokensMaySuffice && !Request.LogProbabilities;

    /// <summary>Answer so far.</summary>
    public GeneratedAnswer Answer => new(Index, generated);

    /// <summary>Gives it a slot, and what it takes over there.</summary>
    /// <param name="slot">Its slot.</param>
    /// <param name="cached">How many of its first tokens are in the slot already.</param>
    public void Enter(int slot, int cached) => (Slot, Cached, Reused) = (slot, cached, Reused ?? cached);

    /// <summary>Whether another row has the same tokens before it and goes through the same adapter.</summary>
    public bool IsAlike(GenerationRow other) =>
        Adapter == other.Adapter
        && Tokens.Count == other.Tokens.Count
        && CollectionsMarshal.AsSpan(Tokens).SequenceEqual(CollectionsMarshal.AsSpan(other.Tokens));

    /// <summary>Says that its slot holds all its tokens, which a row that is alike has read.</summary>
    public void TakeOver() => (Cached, Reused) = (Tokens.Count, generated.Count == 0 ? Tokens.Count : Reused);

    /// <summary>Takes its slot away.</summary>
    public void Leave() => (Slot, Cached) = (-1, 0);

    /// <summary>Samples the next token.</summary>
    /// <param name="logits">Of all tokens that may be produced; changed by the call.</param>
    public GeneratedToken Sample(Span<float> logits)
    {
        if (!Request.LogProbabilities)
        {
            return Accept(Sampler.Sample(logits));
        }

        var untouched = logits.ToArray();
        var id = Sampler.Sample(logits);
        var (chosen, top) = TokenProbability.Read(untouched, id, Request.TopLogProbabilities);
        return Accept(id, chosen, top);
    }

    /// <summary>Samples the next token from the likeliest alone; null where that cannot be done, and nothing has
    /// changed.</summary>
    /// <param name="ids">The likeliest tokens that may be produced.</param>
    /// <param name="logits">Theirs, descending.</param>
    public GeneratedToken? SampleAmong(ReadOnlySpan<long> ids, ReadOnlySpan<float> logits) =>
        Sampler.SampleAmong(ids, logits) is { } id ? Accept(id) : null;

    /// <summary>Adds a token to the answer.</summary>
    public GeneratedToken Accept(int id, double? logProbability = null, IReadOnlyList<TokenProbability>? top = null)
    {
        FinishReason? finish =
            Settings.Stops.Contains(id) ? FinishReason.Stop
            : generated.Count + 1 == MaxTokens ? FinishReason.Length
            : null;
        var token = new GeneratedToken(id, finish)
        {
            CachedTokens = Reused ?? 0,
            LogProbability = logProbability,
            TopProbabilities = top,
        };
        generated.Add(token);
        Sampler.Accept(id);
        return token;
    }
}
