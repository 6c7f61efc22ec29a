using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>Encodes text with a <see cref="SentencePieceModel"/>.</summary>
/// <remarks>The text's characters are joined, the pair whose joined text has the highest score first (of equals, the
/// leftmost), until no pair is a piece. A character that is no piece becomes its bytes. Thread-safe.</remarks>
internal sealed class SentencePieceEncoder
{
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> ids;
    private readonly SentencePieceModel model;
    private readonly int[] byteIds = new int[256];
    private readonly string[] indivisible; // Longest first.

    /// <param name="model">The pieces.</param>
    public SentencePieceEncoder(SentencePieceModel model)
    {
        this.model = model;
        var texts = new Dictionary<string, int>(model.Pieces.Count, StringComparer.Ordinal);
        foreach (var (id, piece) in model.Pieces.Index())
        {
            if (piece.Kind == SentencePieceModel.Kind.Byte)
            {
                byteIds[SentencePieceModel.ByteOf(piece.Text)!.Value] = id;
            }
            else if (piece.Kind is SentencePieceModel.Kind.Normal or SentencePieceModel.Kind.UserDefined)
            {
                texts.Add(piece.Text, id);
            }
        }

        ids = texts.GetAlternateLookup<ReadOnlySpan<char>>();
        indivisible =
        [
            .. model
                .Pieces.Where(piece => piece.Kind == SentencePieceModel.Kind.UserDefined)
                .Select(piece => piece.Text)
                .OrderByDescending(text => text.Length),
        ];
    }

    /// <summary>Appends the ids of a text without unpaired surrogates.</summary>
    public void AppendTo(List<int> found, ReadOnlySpan<char> text)
    {
        var normal = Normalized(text);
        var parts = Split(normal);
        Merge(normal, parts);
        Span<byte> bytes = stackalloc byte[4];
        for (var i = parts.Count == 0 ? -1 : 0; i >= 0; i = parts[i].Next)
        {
            var part = normal.AsSpan(parts[i].Start, parts[i].Length);
            if (ids.TryGetValue(part, out var id))
            {
                found.Add(id);
                continue;
            }

            // Only a single character can be no piece.
            foreach (var value in bytes[..Encoding.UTF8.GetBytes(part, bytes)])
            {
                found.Add(byteIds[value]);
            }
        }
    }

    private string Normalized(ReadOnlySpan<char> text)
    {
        var normal = new StringBuilder(text.Length + 1);
        if (model.DropsSpaces)
        {
            text = text.Trim(' ');
        }

        if (text.Length > 0 && model.AddsSpace)
        {
            normal.Append(SentencePieceModel.Space);
        }

        var afterSpace = false;
        foreach (var c in text)
        {
            if (!(c == ' ' && afterSpace && model.DropsSpaces))
            {
                normal.Append(c == ' ' ? SentencePieceModel.Space : c);
            }

            afterSpace = c == ' ';
        }

        return normal.ToString();
    }

    private List<Part> Split(string text)
    {
        var parts = new List<Part>(text.Length);
        var start = 0;
        while (start < text.Length)
        {
            var rest = text.AsSpan(start);
            var length = 0;
            foreach (var whole in indivisible)
            {
                if (rest.StartsWith(whole, StringComparison.Ordinal))
                {
                    length = whole.Length;
                    break;
                }
            }

            var isWhole = length > 0;
            length =
                isWhole ? length
                : char.IsHighSurrogate(rest[0]) && rest.Length > 1 ? 2
                : 1;
            parts.Add(new Part(start, length, parts.Count - 1, parts.Count + 1, isWhole));
            start += length;
        }

        if (parts.Count > 0)
        {
            parts[^1] = parts[^1] with { Next = -1 };
        }

        return parts;
    }

    private void Merge(string text, List<Part> parts)
    {
        var pairs = new PriorityQueue<Pair, (float MinusScore, int Left)>();
        for (var i = 1; i < parts.Count; i++)
        {
            Propose(i - 1, i);
        }

        while (pairs.TryDequeue(out var pair, out _))
        {
            var (left, right) = (parts[pair.Left], parts[pair.Right]);
            // One of them may have been joined with another since.
            if (left.Length == 0 || right.Length == 0 || left.Length + right.Length != pair.Length)
            {
                continue;
            }

            parts[pair.Left] = left with { Length = pair.Length, Next = right.Next };
            parts[pair.Right] = right with { Length = 0 };
            if (right.Next >= 0)
            {
                parts[right.Next] = parts[right.Next] with { Previous = pair.Left };
            }

            Propose(left.Previous, pair.Left);
            Propose(pair.Left, right.Next);
        }

        void Propose(int left, int right)
        {
            if (left < 0 || right < 0 || parts[left].IsWhole || parts[right].IsWhole)
            {
                return;
            }

            var length = parts[left].Length + parts[right].Length;
            if (ids.TryGetValue(text.AsSpan(parts[left].Start, length), out var id))
            {
                pairs.Enqueue(new Pair(left, right, length), (-model.Pieces[id].Score, left));
            }
        }
    }

    // A stretch of the text; those that were joined to their left have no length.
    private readonly record struct Part(int Start, int Length, int Previous, int Next, bool IsWhole);

    private readonly record struct Pair(int Left, int Right, int Length);
}
