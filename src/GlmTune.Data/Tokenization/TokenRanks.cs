using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>The format of <c>tokenizer.model</c>: one line per token, <c>base64(bytes) rank</c>, in ascending order of
/// rank from 0.</summary>
internal static class TokenRanks
{
    /// <summary>Parses the content of a file; a token's index is its rank.</summary>
    /// <param name="content">The whole file.</param>
    /// <param name="name">Name of the file in errors.</param>
    /// <exception cref="InvalidDataException">A line has another form, or a rank is out of order.</exception>
    public static byte[][] Parse(ReadOnlySpan<byte> content, string name)
    {
        var tokens = new List<byte[]>(content.Count((byte)'\n') + 1);
        var line = 0;
        foreach (var range in content.Split((byte)'\n'))
        {
            line++;
            var text = content[range].TrimEnd((byte)'\r');
            if (text.IsEmpty)
            {
                continue;
            }

            var space = text.IndexOf((byte)' ');
            var token = new byte[Math.Max(space, 0)];
            if (
                space <= 0
                || Base64.DecodeFromUtf8(text[..space], token, out _, out var length) != OperationStatus.Done
                || !Utf8Parser.TryParse(text[(space + 1)..], out int rank, out var used)
                || used != text.Length - space - 1
            )
            {
                throw new InvalidDataException(
                    $"{name}, line {line}: found "
                        + $"'{Encoding.UTF8.GetString(text[..Math.Min(text.Length, 40)])}'; expected a token in "
                        + "base64, a space, and its rank."
                );
            }

            if (rank != tokens.Count)
            {
                throw new InvalidDataException(
                    $"{name}, line {line}: the rank is {rank}; expected {tokens.Count}, because ranks count "
                        + "up from 0 without gaps."
                );
            }

            tokens.Add(token.AsSpan(0, length).ToArray());
        }

        return [.. tokens];
    }

    /// <summary>The content of a file with <paramref name="tokens"/>.</summary>
    public static byte[] Format(IReadOnlyList<byte[]> tokens)
    {
        var content = new ArrayBufferWriter<byte>(tokens.Count * 18);
        for (var rank = 0; rank < tokens.Count; rank++)
        {
            var line = content.GetSpan(Base64.GetMaxEncodedToUtf8Length(tokens[rank].Length) + 12);
            Base64.EncodeToUtf8(tokens[rank], line, out _, out var length);
            line[length++] = (byte)' ';
            rank.TryFormat(line[length..], out var digits, provider: CultureInfo.InvariantCulture);
            line[length + digits] = (byte)'\n';
            content.Advance(length + digits + 1);
        }

        return content.WrittenSpan.ToArray();
    }

    /// <summary>The rank of each token; checks that any text can be encoded in exactly one way.</summary>
    /// <exception cref="InvalidDataException">A token occurs twice, or a single byte has no token.</exception>
    internal static Dictionary<byte[], int> Index(IReadOnlyList<byte[]> tokens)
    {
        var single = new bool[256];
        var ranks = new Dictionary<byte[], int>(tokens.Count, ByteArrayComparer.Instance);
        for (var rank = 0; rank < tokens.Count; rank++)
        {
            if (tokens[rank].Length == 1)
            {
                single[tokens[rank][0]] = true;
            }

            if (!ranks.TryAdd(tokens[rank], rank))
            {
                throw new InvalidDataException(
                    $"The ranks {ranks[tokens[rank]]} and {rank} are the same token, "
                        + $"{Convert.ToHexString(tokens[rank])}."
                );
            }
        }

        var missing = Enumerable.Range(0, 256).Where(value => !single[value]).ToList();
        if (missing.Count > 0)
        {
            throw new InvalidDataException(
                $"{missing.Count} of the 256 single bytes have no token (first: {missing[0]:X2}), so some "
                    + "text cannot be encoded."
            );
        }

        return ranks;
    }
}
