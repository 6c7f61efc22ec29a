using System.Runtime.InteropServices;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;

namespace GlmTune.Inference;

/// <summary>The state of one prompt while it is being answered.</summary>
internal sealed class GenerationRow
{
    private readonly List<GeneratedToken> generated = [];
    private bool hasLeft;

    /// <exception cref="ArgumentException">The prompt is empty, contains invalid token ids, or is too long; or options
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

    /// <summary>The served adapter to use; null: none.</summary>
    public ServedAdapter? Adapter { get; }

    /// <summary>Maximum tokens of the answer.</summary>
    public int MaxTokens { get; }

    /// <summary>Maximum tokens of prompt and answer together.</summary>
    public int MaxLength => Request.Prompt.Count + MaxTokens;

    /// <summary>Maximum tokens of the answer still to be generated.</summary>
    public int Left => MaxTokens - generated.Count;

    public Sampler Sampler { get; }

    /// <summary>Token ids of the prompt and the answer so far.</summary>
    public List<int> Tokens => Sampler.Tokens;

    /// <summary>Its place in the cache.</summary>
    public RowBlocks Place { get; } = new();

    /// <summary>Cache slot of its keys and values; −1 while it waits.</summary>
    public int Slot => Place.Slot;

    /// <summary>How many of <see cref="Tokens"/> are in the cache.</summary>
    public int Cached { get; set; }

    /// <summary>Number of prompt tokens taken over from other rows.</summary>
    public int Reused { get; private set; }

    /// <summary>Number of tokens to process before the next one can be selected.</summary>
    public int Pending => Tokens.Count - Cached;

    /// <summary>Whether its answer is complete.</summary>
    public bool Finished => generated.Count > 0 && generated[^1].Finish is not null;

    /// <summary>Number of beams; above 1 it is answered by beam search instead of in the batch.</summary>
    public int Beams => Settings.Beams;

    /// <summary>Whether only the id of the most likely token is needed.</summary>
    public bool ArgmaxSuffices => Sampler.ArgmaxSuffices && !Request.LogProbabilities;

    /// <summary>Whether a row of a <see cref="SamplingTable"/> can say how the next token is selected, so that its
    /// logits are not needed on the host.</summary>
    public bool FitsTable => Sampler.FitsTable && !Request.LogProbabilities;

    /// <summary>Whether that can be said before the token before is known.</summary>
    public bool FitsAhead => Sampler.FitsAhead && !Request.LogProbabilities;

    /// <summary>Token ids of the answer so far.</summary>
    public GeneratedAnswer Answer => new(Index, generated);

    /// <summary>Whether another row has the same preceding tokens and the same adapter.</summary>
    public bool IsAlike(GenerationRow other) =>
        Adapter == other.Adapter
        && Tokens.Count == other.Tokens.Count
        && CollectionsMarshal.AsSpan(Tokens).SequenceEqual(CollectionsMarshal.AsSpan(other.Tokens));

    /// <summary>Records that its first tokens are in the cache, because other rows were processed. Those of its own,
    /// which it finds again after it had to leave, do not count as taken over.</summary>
    /// <param name="tokens">Number of its tokens in the cache now.</param>
    public void TakeOver(int tokens)
    {
        Reused += generated.Count == 0 && !hasLeft ? tokens - Cached : 0;
        Cached = tokens;
    }

    /// <summary>Records that it has no place in the cache any more.</summary>
    public void Leave()
    {
        (Place.Slot, Cached, hasLeft) = (-1, 0, true);
        Place.Blocks.Clear();
    }

    /// <summary>Samples the next token.</summary>
    /// <param name="logits">Logits of all tokens that may be generated; modified by the call.</param>
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

    /// <summary>Takes the token that was selected by a row of a <see cref="SamplingTable"/>.</summary>
    /// <param name="token">The token, and the highest score.</param>
    public GeneratedToken Take(ChosenToken token) => Accept(Sampler.Drawn(token.Id, token.Score));

    /// <summary>Appends a token to the answer.</summary>
    public GeneratedToken Accept(int id, double? logProbability = null, IReadOnlyList<TokenProbability>? top = null)
    {
        FinishReason? finish =
            Settings.Stops.Contains(id) ? FinishReason.Stop
            : generated.Count + 1 == MaxTokens ? FinishReason.Length
            : null;
        var token = new GeneratedToken(id, finish)
        {
            CachedTokens = Reused,
            LogProbability = logProbability,
            TopProbabilities = top,
        };
        generated.Add(token);
        Sampler.Accept(id);
        return token;
    }
}
