using GlmTune.Kernels.Definitions;
using GlmTune.Model.Adapters;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>One new token of a sequence.</summary>
/// <param name="Id">The token.</param>
/// <param name="Slot">The sequence's cache slot.</param>
/// <param name="Before">Number of tokens in the slot before it, including virtual ones: its position in the
/// slot.</param>
/// <param name="Adapter">The served adapter of the sequence; null: the base model, or the adapter attached to
/// it.</param>
internal readonly record struct DecodeRow(int Id, int Slot, int Before, ServedAdapter? Adapter = null);

/// <summary>The token that follows a sequence according to a pass.</summary>
/// <param name="Id">The token; −1 if all are forbidden.</param>
/// <param name="Score">The highest score: the token's logit if the most likely one was asked for. NaN if any logit of
/// the sequence is NaN; if it is not finite, the token is not valid.</param>
internal readonly record struct ChosenToken(int Id, float Score);

/// <summary>Passes with one new token per sequence over one cache. They are queued; the host waits only when it
/// requests results.</summary>
/// <remarks>Between two passes, the cache may be resized and written by other passes. At most two queued passes may
/// have unread <see cref="Tokens"/>. Not thread-safe; the model's adapters may change between passes, but not
/// during one.</remarks>
internal interface IDecoder : IDisposable
{
    /// <summary>Whether it can be used now: adapters added since its creation may not support decoding.</summary>
    bool IsUsable { get; }

    /// <summary>Queues a pass. Unread results of earlier ones are discarded.</summary>
    /// <param name="rows">One new token per sequence, at least one, each in a different slot.</param>
    /// <param name="table">How each sequence's next token is chosen, in the same order; null: the most likely
    /// one.</param>
    /// <exception cref="ArgumentException">There is no row, or a slot is full.</exception>
    void Begin(ReadOnlySpan<DecodeRow> rows, SamplingTable? table = null);

    /// <summary>Whether <see cref="Advance"/> may be called: there was a pass before, no slot is at the cache's
    /// capacity, and the cache's memory, the weights and the adapters have not changed since. Otherwise use
    /// <see cref="Begin"/>. The caller gives every slot a block for the token.</summary>
    bool CanAdvance { get; }

    /// <summary>Queues another pass over the same sequences; each one's new token is the one chosen by the
    /// previous pass, which the host need not know yet.</summary>
    /// <param name="table">As for <see cref="Begin"/>.</param>
    /// <exception cref="InvalidOperationException"><see cref="CanAdvance"/> is false.</exception>
    void Advance(SamplingTable? table = null);

    /// <summary>The chosen next token of each sequence, among those that may be generated, from the oldest unread pass;
    /// waits for it. The caller must check that the score is a number.</summary>
    /// <exception cref="InvalidOperationException">The results of all queued passes have been read.</exception>
    ChosenToken[] Tokens();

    /// <summary>Logits of the last queued pass, [rows, V] on the device; owned by the decoder, and overwritten by the
    /// next pass.</summary>
    Tensor Logits { get; }
}
