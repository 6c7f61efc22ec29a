using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The served adapter of each token of a pass.</summary>
/// <remarks>The host reads nothing back, and all shapes follow from the number of tokens, so a pass can be captured
/// once and replayed with other numbers in <see cref="Index"/>. Owns its tensors. Not thread-safe.</remarks>
/// <param name="index">A token's row in the adapters' tables, int64 [N]: 0 for the base model alone. Then owned by this
/// object.</param>
internal sealed class AdapterRows(Tensor index) : IDisposable
{
    private readonly Dictionary<Tensor, Tensor> chosen = [];

    /// <summary>A token's row in the adapters' tables, int64 [N]: 0 for the base model alone.</summary>
    public Tensor Index { get; } = index.DetachFromDisposeScope();

    /// <summary>The tokens' rows of a table, [N, width]; looked up once for all layers that share the table, and owned
    /// by this object.</summary>
    /// <param name="table">[1 + adapters, width].</param>
    public Tensor Of(Tensor table)
    {
        if (!chosen.TryGetValue(table, out var rows))
        {
            rows = chosen[table] = table.index_select(0, Index).DetachFromDisposeScope();
        }

        return rows;
    }

    /// <summary>The rows of some of the tokens; the caller disposes them.</summary>
    /// <param name="tokens">int64 [n].</param>
    public AdapterRows Select(Tensor tokens) => new(Index.index_select(0, tokens));

    /// <inheritdoc/>
    public void Dispose()
    {
        Index.Dispose();
        foreach (var rows in chosen.Values)
        {
            rows.Dispose();
        }
    }
}
