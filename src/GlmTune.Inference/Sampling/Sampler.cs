using System.Globalization;
using System.Runtime.InteropServices;
using GlmTune.Constraints;
using GlmTune.Data;
using GlmTune.Kernels.Definitions;

namespace GlmTune.Inference;

/// <summary>Selects the tokens of one answer, one after another, from rows of logits.</summary>
/// <remarks>In the order of Hugging Face's library: biases, repetition penalty over prompt and answer (and presence and
/// frequency penalties over the answer), temperature, top-k, top-p, min-p, one random draw. Without sampling, the most
/// likely token; among equals, the lowest id. The result depends only on seed and logits, not on other answers
/// generated concurrently. What is drawn for given logits is defined by <see cref="TokenDraw"/>, here and on a GPU. Not
/// thread-safe.</remarks>
internal sealed class Sampler
{
    private readonly GenerationSettings settings;
    private readonly ScoreRules rules;
    private readonly ScoreEdits edits;
    private readonly List<int> tokens;
    private readonly int promptLength;
    private readonly SplitMix64 random;
    private long draws;

    /// <summary>Creates a sampler for the answer to one prompt.</summary>
    /// <param name="prompt">Token ids of the prompt.</param>
    /// <param name="options">Generation options; unset values are those of
    /// <see cref="GenerationOptions.Defaults"/>.</param>
    /// <param name="mask">Forbids tokens; null: none.</param>
    /// <param name="stream">Distinguishes answers with the same seed: each has different random numbers.</param>
    /// <exception cref="ArgumentException">Options are out of range.</exception>
    public Sampler(IReadOnlyList<int> prompt, GenerationOptions options, TokenMask? mask = null, long stream = 0)
        : this(prompt, new GenerationSettings(options, []), mask, stream) { }

    internal Sampler(IReadOnlyList<int> prompt, GenerationSettings settings, TokenMask? mask, long stream)
    {
        this.settings = settings;
        rules = new ScoreRules(settings, mask);
        tokens = [.. prompt];
        promptLength = prompt.Count;
        edits = new ScoreEdits(settings, CollectionsMarshal.AsSpan(tokens));
        random = SplitMix64.Of(settings.Seed ?? Random.Shared.NextInt64(), stream);
    }

    /// <summary>Whether the most likely token according to the model's own logits is the one that will be selected
    /// next.</summary>
    public bool ArgmaxSuffices => settings.Greedy && rules.LeaveUnchanged(tokens.Count - promptLength);

    /// <summary>Whether a row of a <see cref="SamplingTable"/> can say how the next token is selected; otherwise all
    /// logits are needed on the host.</summary>
    public bool FitsTable => rules.FitTable;

    /// <summary>Whether that row can be written before the token before is known.</summary>
    public bool FitsAhead => rules.FitTable && !rules.HaveMask;

    /// <summary>Whether a mask says which tokens may come next.</summary>
    public bool HasMask => rules.HaveMask;

    /// <summary>Token ids of the prompt and the answer so far.</summary>
    internal List<int> Tokens => tokens;

    /// <summary>Selects the next token; it becomes part of the answer only when passed to
    /// <see cref="Accept"/>.</summary>
    /// <param name="logits">Logits of every token that may be generated, without padded rows of the vocabulary;
    /// modified by the call.</param>
    /// <exception cref="NoTokenException">Logits are NaN or infinite, or every token is forbidden.</exception>
    public int Sample(Span<float> logits)
    {
        rules.Apply(logits, CollectionsMarshal.AsSpan(tokens), promptLength, edits);
        var (best, highest) = RowSampling.Highest(logits);
        if (best < 0)
        {
            throw NothingToSample();
        }

        return Drawn(
            settings.Greedy || !float.IsFinite(highest)
                ? best
                : TokenDraw.Draw(logits, highest, settings.Rules with { Random = random.At(draws) }),
            highest
        );
    }

    /// <summary>Adds a row to a table, by which a device selects the next token, or the one after it.</summary>
    /// <param name="table">The table.</param>
    /// <param name="logitsRow">The row's index among the logits.</param>
    /// <param name="pending">Whether the next token is being selected, and this is for the one after it.</param>
    /// <param name="allowed">What <see cref="Allowed"/> gave, if there is a mask.</param>
    public void AddTo(SamplingTable table, int logitsRow, bool pending, uint[]? allowed = null)
    {
        var ahead = pending ? 1 : 0;
        table.Add(
            settings.Rules with
            {
                Random = random.At(draws + ahead),
                LogitsRow = logitsRow,
                Pending = edits.CountsAnswer ? ahead : 0,
            },
            edits.After(ahead),
            allowed
        );
    }

    /// <summary>The tokens that the mask allows next, as a bit set of the vocabulary.</summary>
    /// <param name="vocabularySize">Tokens that may be generated.</param>
    public uint[] Allowed(int vocabularySize) =>
        rules.Allowed(CollectionsMarshal.AsSpan(tokens)[promptLength..], vocabularySize);

    /// <summary>Checks the token that was selected by a row of a table; from now on, the next one is
    /// selected.</summary>
    /// <param name="id">The token; −1: none.</param>
    /// <param name="highest">The highest score.</param>
    /// <exception cref="NoTokenException">Logits are NaN or infinite, or every token is forbidden.</exception>
    public int Drawn(int id, float highest)
    {
        if (!float.IsFinite(highest))
        {
            throw id < 0 && !ArgmaxSuffices ? NothingToSample() : NotFinite(Math.Max(0, id), highest);
        }

        draws += settings.Greedy ? 0 : 1;
        return id;
    }

    /// <summary>Appends a token to the answer.</summary>
    public void Accept(int id)
    {
        tokens.Add(id);
        edits.Add(id);
    }

    internal static NoTokenException NothingToSample() =>
        new("Every token is forbidden: the constraints on the answer allow no next token.");

    internal static NoTokenException NotFinite(long id, float logit) =>
        new(
            string.Create(
                CultureInfo.InvariantCulture,
                $"The logit of token {id} is {logit}. The weights contain non-finite values, or the range of "
                    + $"their type is too small."
            )
        );
}
