namespace GlmTune.Data.Tokenization;

/// <summary>Tables of a vocabulary that encoding looks into.</summary>
/// <remarks>Immutable. They take most of a tokenizer's loading time.</remarks>
internal sealed class EncodingTables
{
    // Length of the longest token for each two first bytes.
    private readonly int[] longest = new int[1 << 16];

    /// <param name="tokens">The bytes of each token; its index is its rank.</param>
    /// <param name="ranks">The rank of each token.</param>
    public EncodingTables(IReadOnlyList<byte[]> tokens, Dictionary<byte[], int> ranks)
    {
        Ranks = ranks;
        Pairs = new PairRanks(tokens, ranks);
        Start = new StartingParts(tokens, ranks, Pairs);
        foreach (var token in tokens.Where(token => token.Length > 0))
        {
            ref var length = ref longest[Beginning(token)];
            length = Math.Max(length, token.Length);
        }
    }

    /// <summary>The rank of each token.</summary>
    public Dictionary<byte[], int> Ranks { get; }

    /// <summary>The rank of each pair of tokens.</summary>
    public PairRanks Pairs { get; }

    /// <summary>The parts with which merging starts.</summary>
    public StartingParts Start { get; }

    /// <summary>Whether a token begins like a piece and is as long; false for most pieces, which saves looking them
    /// up.</summary>
    /// <param name="piece">UTF-8 bytes; at least one.</param>
    public bool MayBeToken(ReadOnlySpan<byte> piece) => piece.Length <= longest[Beginning(piece)];

    private static int Beginning(ReadOnlySpan<byte> bytes) => (bytes[0] << 8) | (bytes.Length > 1 ? bytes[1] : 0);
}
