using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using System.Text.RegularExpressions;

namespace GlmTune.Data.Tokenization;

/// <summary>Converts text to token ids and back: byte-level byte-pair encoding by rank, identical to GLM-4's own
/// tokenizer, or ChatGLM3's SentencePiece.</summary>
/// <remarks>Thread-safe. Decoding an encoded text gives the same bytes; SentencePiece puts a space before every text,
/// which decoding keeps in the middle. Load one with <see cref="TokenizerFile"/>.</remarks>
public sealed class Tokenizer
{
    private readonly Task<EncodingTables>? tables;
    private readonly SentencePieceEncoder? pieces;
    private readonly ConcurrentBag<TextEncoder> encoders = [];
    private readonly byte[][] bytes;
    private readonly Regex specialTexts;

    /// <summary>Creates a tokenizer from its tokens.</summary>
    /// <param name="ranks">The bytes of each ordinary token; its index is its rank and id.</param>
    /// <param name="special">The special tokens, whose ids follow the ranks.</param>
    /// <exception cref="InvalidDataException">A single byte has no token, a token occurs twice, or the id of a special
    /// token is also a rank.</exception>
    public Tokenizer(IReadOnlyList<byte[]> ranks, SpecialTokens special)
        : this([.. ranks], special)
    {
        var (lowest, id) = special.All.MinBy(token => token.Value);
        if (id < bytes.Length)
        {
            throw new InvalidDataException(
                $"The special token '{lowest}' has id {id}, which collides with ordinary tokens up to "
                    + $"{bytes.Length - 1}."
            );
        }

        // The tables take most of the loading time, so they are built in the background until the first text.
        var index = TokenRanks.Index(bytes);
        tables = Task.Run(() => new EncodingTables(bytes, index));
    }

    /// <summary>Creates a tokenizer from a SentencePiece model.</summary>
    /// <param name="model">The pieces.</param>
    /// <param name="special">The special tokens: the end of text, and those whose ids follow the pieces.</param>
    internal Tokenizer(SentencePieceModel model, SpecialTokens special)
        : this(model.TextOfPieces(), special)
    {
        SentencePiece = model;
        pieces = new SentencePieceEncoder(model);
    }

    private Tokenizer(byte[][] bytes, SpecialTokens special)
    {
        this.bytes = bytes;
        Special = special;
        specialTexts = new Regex(
            string.Join('|', special.All.Keys.OrderByDescending(text => text.Length).Select(Regex.Escape)),
            RegexOptions.CultureInvariant
        );
    }

    /// <summary>The SentencePiece model; null if tokens have ranks.</summary>
    internal SentencePieceModel? SentencePiece { get; }

    /// <summary>The special tokens of this tokenizer.</summary>
    public SpecialTokens Special { get; }

    /// <summary>The bytes of each ordinary token; its index is its rank and id.</summary>
    public IReadOnlyList<byte[]> Ranks => bytes;

    /// <summary>Number of ordinary tokens.</summary>
    public int RankCount => bytes.Length;

    /// <summary>One more than the highest id of ordinary and special tokens; a model's embedding may have more rows, as
    /// padding.</summary>
    public int Count => Special.All.Values.Max() + 1;

    /// <summary>The chat template (Jinja) in the tokenizer's files; null if there is none.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>The maximum input length stated in the files, in tokens; null if there is none.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Encodes text as plain text: text of special tokens is not treated specially, and nothing is added at
    /// either end.</summary>
    public int[] Encode(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>((text.Length / 3) + 4);
        AppendTo(ids, text);
        return [.. ids];
    }

    /// <summary>Encodes text, turning the text of a special token anywhere in it into that token.</summary>
    /// <remarks>For trusted text only: in a user's content it would allow forged turns.</remarks>
    public int[] EncodeWithSpecialTokens(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        var start = 0;
        foreach (var match in specialTexts.EnumerateMatches(text))
        {
            AppendTo(ids, text.AsSpan(start, match.Index - start));
            ids.Add(Special.All[text.Substring(match.Index, match.Length)]);
            start = match.Index + match.Length;
        }

        AppendTo(ids, text.AsSpan(start));
        return [.. ids];
    }

    /// <summary>The first special-token text in <paramref name="text"/>; null if there is none.</summary>
    public string? FindSpecialText(string text) =>
        specialTexts.Match(text) is { Success: true } match ? match.Value : null;

    /// <summary>The text of token ids; bytes that are not UTF-8 become U+FFFD.</summary>
    /// <param name="ids">Any integers; those that are not tokens (padded rows of the vocabulary, negative labels) are
    /// skipped.</param>
    /// <param name="skipSpecial">Whether to skip special tokens instead of writing their text.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true)
    {
        var text = new ArrayBufferWriter<byte>();
        // The space that was put before the text.
        var isFirst = SentencePiece?.AddsSpace == true;
        foreach (var id in ids)
        {
            var piece = BytesOf(id, skipSpecial);
            text.Write(isFirst && piece.StartsWith((byte)' ') ? piece[1..] : piece);
            isFirst = SentencePiece?.AddsSpace == true && Special.TextOf(id) is not null;
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    /// <summary>The bytes of a token; empty for an id that is not a token.</summary>
    /// <param name="id">Any integer.</param>
    /// <param name="skipSpecial">Whether to return nothing for a special token instead of its text.</param>
    public ReadOnlySpan<byte> BytesOf(int id, bool skipSpecial = true)
    {
        if ((uint)id < (uint)bytes.Length && bytes[id].Length > 0)
        {
            return bytes[id];
        }

        return skipSpecial || Special.TextOf(id) is not { } text ? [] : Encoding.UTF8.GetBytes(text);
    }

    /// <summary>Appends the ids of plain text, as <see cref="Encode"/> returns them.</summary>
    internal void AppendTo(List<int> ids, ReadOnlySpan<char> text)
    {
        if (text.ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            // An unpaired surrogate becomes U+FFFD.
            text = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text.ToArray()));
        }

        if (pieces is not null)
        {
            pieces.AppendTo(ids, text);
            return;
        }

        // As many encoders as threads encode at a time.
        if (!encoders.TryTake(out var encoder))
        {
            encoder = new TextEncoder(tables!.GetAwaiter().GetResult());
        }

        encoder.AppendTo(ids, text);
        encoders.Add(encoder);
    }
}
