using System.Runtime.CompilerServices;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>An update of one of several answers.</summary>
/// <param name="Choice">Index of the answer, from 0.</param>
/// <param name="Text">New text; may be empty.</param>
/// <param name="Calls">New parts of its calls; usually empty.</param>
/// <param name="Logprobs">The tokens of the text; null if not requested.</param>
/// <param name="Answer">The complete answer, in the last update only.</param>
internal sealed record AnswerUpdate(
    int Choice,
    string Text,
    IReadOnlyList<ToolCallPiece> Calls,
    IReadOnlyList<TokenLogprob>? Logprobs,
    ChatAnswer? Answer
)
{
    /// <summary>New text of the thoughts before the answer; may be empty.</summary>
    public string Reasoning { get; init; } = "";

    /// <summary>Why the answer ended, in OpenAI's terms; null before the end.</summary>
    public string? FinishReason =>
        Answer is null ? null
        : Answer.Finish == Inference.FinishReason.Length ? "length"
        : Answer.Calls.Count > 0 ? "tool_calls"
        : "stop";

    /// <summary>Generates some of the requested answers; each stream must be enumerated.</summary>
    /// <param name="plan">The request.</param>
    /// <param name="first">Index of the first answer.</param>
    /// <param name="count">Number of answers.</param>
    /// <param name="measured">Receives counts and times.</param>
    /// <param name="cancellation">Cancels the answers.</param>
    public static IEnumerable<IAsyncEnumerable<AnswerUpdate>> ReadSome(
        PreparedPlan plan,
        int first,
        int count,
        MeasuredRequest measured,
        CancellationToken cancellation
    )
    {
        // Each choice has its own random numbers; the first uses those of a request for a single answer.
        var seed = plan.Chat.Options.Seed;
        var choices = Enumerable
            .Range(first, count)
            .Select(choice =>
                plan.Chat with
                {
                    Options = plan.Chat.Options with { Seed = seed is null ? null : unchecked(seed + choice) },
                }
            );
        return plan
            .Model.Chat.StreamAll([.. choices], cancellation)
            .Select((pieces, index) => ReadAsync(plan, first + index, pieces, measured.NewAnswer(), cancellation));
    }

    private static async IAsyncEnumerable<AnswerUpdate> ReadAsync(
        PreparedPlan plan,
        int choice,
        IAsyncEnumerable<ChatPiece> pieces,
        MeasuredAnswer measured,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var tokenizer = plan.Model.Chat.Template.Tokenizer;
        var pending = new List<TokenLogprob>();
        var shown = false;
        await foreach (var piece in pieces.WithCancellation(cancellation))
        {
            measured.Token();

            // Tokens are reported with the text that they belong to; those of thoughts, stripped white space and stop
            // sequences are not.
            if (
                plan.Chat.LogProbabilities
                && piece.Token is { } token
                && token.Finish != Inference.FinishReason.Stop
                && !piece.IsThinking
                && (shown || piece.Text.Length > 0 || !IsBlank(tokenizer, token.Id))
            )
            {
                pending.Add(LogprobOf(tokenizer, token));
            }

            shown |= piece.Text.Length > 0;
            if (
                piece.Text.Length > 0
                || piece.Reasoning.Length > 0
                || piece.Calls.Count > 0
                || piece.Answer is not null
            )
            {
                IReadOnlyList<TokenLogprob>? told =
                    !plan.Chat.LogProbabilities ? null
                    : piece.Text.Length > 0 ? [.. pending]
                    : [];
                if (piece.Text.Length > 0)
                {
                    pending.Clear();
                }

                if (piece.Answer is { } answer)
                {
                    measured.End(
                        choice == 0 ? answer.PromptTokens : 0,
                        choice == 0 ? answer.CachedTokens : 0,
                        answer.AnswerTokens
                    );
                }

                yield return new AnswerUpdate(choice, piece.Text, piece.Calls, told, piece.Answer)
                {
                    Reasoning = piece.Reasoning,
                };
            }
        }
    }

    private static bool IsBlank(Tokenizer tokenizer, int id) => tokenizer.BytesOf(id).IndexOfAnyExcept(" \t\r\n"u8) < 0;

    private static TokenLogprob LogprobOf(Tokenizer tokenizer, GeneratedToken token)
    {
        var chosen = Likely(tokenizer, token.Id, token.LogProbability ?? 0);
        return new TokenLogprob(
            chosen.Token,
            chosen.Logprob,
            chosen.Bytes,
            [.. (token.TopProbabilities ?? []).Select(likely => Likely(tokenizer, likely.Id, likely.LogProbability))]
        );
    }

    private static LikelyToken Likely(Tokenizer tokenizer, int id, double logprob) =>
        new(
            tokenizer.Decode([id], skipSpecial: false),
            Math.Max(logprob, -9999),
            [.. tokenizer.BytesOf(id, skipSpecial: false).ToArray()]
        );
}
