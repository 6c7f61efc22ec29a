using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>A SentencePiece model of the kind that ChatGLM3 uses: byte-pair encoding by score, with bytes for
/// characters that are no pieces.</summary>
/// <remarks>The file is a protocol buffer, <c>sentencepiece_model.proto</c> of the SentencePiece project; only what
/// encoding needs is read.</remarks>
internal sealed class SentencePieceModel
{
    /// <summary>Stands for a space inside pieces.</summary>
    public const char Space = '\u2581';

    /// <summary>What a piece is; the numbers are the file's.</summary>
    internal enum Kind
    {
        Normal = 1,
        Unknown = 2,
        Control = 3,
        UserDefined = 4,
        Unused = 5,
        Byte = 6,
    }

    /// <summary>A piece; its index is its id.</summary>
    /// <param name="Text">Its text, with <see cref="Space"/> for spaces.</param>
    /// <param name="Score">Pairs that become pieces of higher score are merged first.</param>
    /// <param name="Kind">What it is.</param>
    internal readonly record struct Piece(string Text, float Score, Kind Kind);

    private const int BytePairEncoding = 2;

    private SentencePieceModel(byte[] file) => File = file;

    /// <summary>The content of the file.</summary>
    public byte[] File { get; }

    /// <summary>The pieces in the order of their ids.</summary>
    public List<Piece> Pieces { get; } = [];

    /// <summary>Whether a space is put before every text.</summary>
    public bool AddsSpace { get; private set; } = true;

    /// <summary>Whether spaces at the ends, and all but one inside, are dropped.</summary>
    public bool DropsSpaces { get; private set; } = true;

    /// <summary>Id of the end of text.</summary>
    public int EndOfText { get; private set; } = 2;

    /// <summary>Whether a file is of this kind, by its beginning.</summary>
    public static bool IsOne(ReadOnlySpan<byte> content) =>
        content.StartsWith((byte)'\n') && content[..Math.Min(content.Length, 64)].IndexOf("<unk>"u8) >= 0;

    /// <summary>Parses the content of a file.</summary>
    /// <param name="content">The whole file.</param>
    /// <param name="name">Its name in errors.</param>
    /// <exception cref="InvalidDataException">The file is damaged, or of a kind that is not supported.</exception>
    public static SentencePieceModel Parse(byte[] content, string name)
    {
        var model = new SentencePieceModel(content);
        List<string> problems = [];
        var type = 1;
        try
        {
            foreach (var (field, value) in Fields(content))
            {
                switch (field)
                {
                    case 1:
                        model.Pieces.Add(ReadPiece(value.Bytes));
                        break;
                    case 2:
                        foreach (var (key, setting) in Fields(value.Bytes))
                        {
                            type = key == 3 ? (int)setting.Number : type;
                            model.EndOfText = key == 42 ? (int)setting.Number : model.EndOfText;
                        }

                        break;
                    case 3:
                        model.ReadNormalizer(value.Bytes, problems);
                        break;
                }
            }
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            throw new InvalidDataException($"{name}: is a damaged SentencePiece model. Download it again.", e);
        }

        model.Check(type, problems);
        return problems.Count == 0 ? model : throw new InvalidDataException($"{name}: {string.Join("\n  ", problems)}");
    }

    /// <summary>The bytes of each piece as text; none for pieces that stand for no text.</summary>
    public byte[][] TextOfPieces() =>
        [
            .. Pieces.Select(piece =>
                piece.Kind switch
                {
                    Kind.Normal or Kind.UserDefined => Encoding.UTF8.GetBytes(piece.Text.Replace(Space, ' ')),
                    Kind.Byte => [ByteOf(piece.Text)!.Value],
                    _ => [],
                }
            ),
        ];

    /// <summary>The byte that a piece such as <c>&lt;0x0A&gt;</c> stands for; null if it has another form.</summary>
    public static byte? ByteOf(string text) =>
        text is ['<', '0', 'x', _, _, '>']
        && byte.TryParse(text.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
            ? value
            : null;

    private void Check(int type, List<string> problems)
    {
        if (type != BytePairEncoding)
        {
            problems.Add(
                $"is a SentencePiece model of the type {type}; only byte-pair encoding (2) is supported, as ChatGLM3 "
                    + "has."
            );
        }

        var bytes = Pieces.Where(piece => piece.Kind == Kind.Byte).Select(piece => ByteOf(piece.Text)).ToHashSet();
        if (bytes.Count != 256 || bytes.Contains(null))
        {
            problems.Add(
                $"is a SentencePiece model with {bytes.Count(value => value is not null)} pieces for single bytes; "
                    + "expected 256, as ChatGLM3 has."
            );
        }

        if ((uint)EndOfText >= (uint)Pieces.Count || Pieces[EndOfText].Kind != Kind.Control)
        {
            problems.Add($"its end of text is {EndOfText}, which is no control piece of {Pieces.Count} pieces.");
        }

        if (Pieces.Exists(piece => piece.Kind == Kind.Unused))
        {
            problems.Add("is a SentencePiece model with unused pieces; this is not supported.");
        }

        var texts = new HashSet<string>(StringComparer.Ordinal);
        if (Pieces.FirstOrDefault(piece => piece.Text.Length == 0 || !texts.Add(piece.Text)) is { Kind: not 0 } wrong)
        {
            problems.Add(wrong.Text.Length == 0 ? "has an empty piece." : $"has the piece '{wrong.Text}' twice.");
        }
    }

    private static Piece ReadPiece(ReadOnlyMemory<byte> content)
    {
        var (text, score, kind) = ("", 0f, Kind.Normal);
        foreach (var (field, value) in Fields(content))
        {
            switch (field)
            {
                case 1:
                    text = Encoding.UTF8.GetString(value.Bytes.Span);
                    break;
                case 2:
                    score = BitConverter.UInt32BitsToSingle((uint)value.Number);
                    break;
                case 3:
                    kind = (Kind)value.Number;
                    break;
            }
        }

        return new Piece(text, score, kind);
    }

    private void ReadNormalizer(ReadOnlyMemory<byte> content, List<string> problems)
    {
        foreach (var (field, value) in Fields(content))
        {
            switch (field)
            {
                case 2 when value.Bytes.Length > 0:
                    problems.Add(
                        "is a SentencePiece model that rewrites characters before it encodes text; this is not "
                            + "supported."
                    );
                    break;
                case 3:
                    AddsSpace = value.Number != 0;
                    break;
                case 4:
                    DropsSpaces = value.Number != 0;
                    break;
                case 5 when value.Number == 0:
                    problems.Add("is a SentencePiece model that keeps spaces as they are; this is not supported.");
                    break;
            }
        }
    }

    // The fields of a message in order: whole numbers, or bytes.
    private static IEnumerable<(int Field, (ulong Number, ReadOnlyMemory<byte> Bytes) Value)> Fields(
        ReadOnlyMemory<byte> message
    )
    {
        var at = 0;
        while (at < message.Length)
        {
            var key = ReadNumber(message.Span, ref at);
            var field = checked((int)(key >> 3));
            switch (key & 7)
            {
                case 0:
                    yield return (field, (ReadNumber(message.Span, ref at), default));
                    break;
                case 1:
                    yield return (field, (BinaryPrimitives.ReadUInt64LittleEndian(message.Span[at..]), default));
                    at += 8;
                    break;
                case 2:
                    var length = checked((int)ReadNumber(message.Span, ref at));
                    yield return (field, (0, message.Slice(at, length)));
                    at += length;
                    break;
                case 5:
                    yield return (field, (BinaryPrimitives.ReadUInt32LittleEndian(message.Span[at..]), default));
                    at += 4;
                    break;
                default:
                    throw new ArgumentException("Not a field.", nameof(message));
            }
        }
    }

    private static ulong ReadNumber(ReadOnlySpan<byte> message, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (at >= message.Length)
            {
                break;
            }

            var next = message[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }

        throw new ArgumentException("A number does not end.", nameof(message));
    }
}
