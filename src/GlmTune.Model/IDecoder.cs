using GlmTune.Model.Adapters;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>One new token of a sequence.</summary>
/// <param name="Id">The token.</param>
/// <param name="Slot">The sequence's cache slot.</param>
/// <param name="Before">Tokens in the slot before it, virtual ones included: its position in the slot.</param>
/// <param name="Adapter">The served adapter of the sequence; null: the base model, or the adapter attached to
/// it.</param>
public readonly record struct DecodeRow(int Id, int Slot, int Before, ServedAdapter? Adapter = null);

/// <summary>The most likely token according to a pass.</summary>
/// <param name="Id">The token.</param>
/// <param name="Logit">Its logit; NaN if any logit of the sequence is NaN.</param>
public readonly record struct ArgmaxToken(int Id, float Logit);

/// <summary>Passes with one new token per sequence over one cache. They are queued; the host waits only when it
/// requests results.</summary>
/// <remarks>
/// The cache may be rearranged and written by other passes between two of these. At most two passes may be queued whose
/// <see cref="Argmax"/> has not been asked for. Not thread-safe; the model's adapters may change between passes, not
/// during one. </remarks>
public interface IDecoder : IDisposable
{
    /// <summary>Whether it can be used now: adapters that came since it was made may have no way to decode.</summary>
    bool IsUsable { get; }

    /// <summary>Queues a pass. Results of earlier ones that nobody asked for are dropped.</summary>
    /// <param name="rows">A new token of each sequence, at least one; each in a slot of its own.</param>
    /// <exception cref="ArgumentException">There is no row, or a slot is full.</exception>
    void Begin(ReadOnlySpan<DecodeRow> rows);

    /// <summary>Whether <see cref="Advance"/> may be called: a pass came before, every slot has room, and neither the
    /// cache's memory nor a weight or adapter has changed since. Otherwise <see cref="Begin"/> is the way.</summary>
    bool CanAdvance { get; }

    /// <summary>Queues another pass over the same sequences; each one's new token is the likeliest by the pass before,
    /// which the host need not know yet.</summary>
    /// <exception cref="InvalidOperationException"><see cref="CanAdvance"/> is false.</exception>
    void Advance();

    /// <summary>The likeliest next token of each sequence, of those that may be produced, by the oldest pass not asked
    /// yet; waits for it. Whether the logit is a number is the caller's to check.</summary>
    /// <exception cref="InvalidOperationException">Every queued pass has been asked.</exception>
    ArgmaxToken[] Argmax();

    /// <summary>Logits of the pass queued last, [rows, V] on the device; the decoder's own, and overwritten by the next
    /// pass.</summary>
    Tensor Logits { get; }
}
