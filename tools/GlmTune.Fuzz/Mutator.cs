using System.Buffers.Binary;
using System.Text;

namespace GlmTune.Fuzz;

/// <summary>Changes bytes as damage, mistakes and attacks do. The same seed gives the same inputs.</summary>
/// <param name="random">Decides what is changed.</param>
/// <param name="words">Pieces of the format, which random bytes would hardly ever form.</param>
internal sealed class Mutator(Random random, IReadOnlyList<string> words)
{
    private const int MaxBytes = 64 << 10;

    private static readonly string[] Everywhere =
    [
        "0",
        "-1",
        "1e999",
        "-0.0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "2147483648",
        "4294967296",
        "0.1e-400",
        "NaN",
        "Infinity",
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "\u0000",
        "\u001b[31m",
        "\u202e",
        "\uFEFF",
        "{\"a\":",
        "[[[[[[[[",
        ",",
        ":",
        "\n",
        "\r\n",
        "../../x",
        "/etc/passwd",
        "\\",
        "'",
        "#",
        "字",
        "👩‍🚀",
    ];

    private static readonly byte[][] Invalid =
    [
        [0xff],
        [0xc0, 0x80],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90, 0x80, 0x80],
        [0xe4],
    ];

    /// <summary>An input made from one of the seeds, or from two.</summary>
    public byte[] Next(IReadOnlyList<byte[]> seeds)
    {
        List<byte> bytes = [.. seeds[random.Next(seeds.Count)]];
        for (var changes = 1 + random.Next(random.Next(1, 8)); changes > 0; changes--)
        {
            Change(bytes, seeds);
        }

        return bytes.Count > MaxBytes ? [.. bytes[..MaxBytes]] : [.. bytes];
    }

    private void Change(List<byte> bytes, IReadOnlyList<byte[]> seeds)
    {
        var at = random.Next(bytes.Count + 1);
        var length = Math.Min(bytes.Count - at, 1 + random.Next(1 + random.Next(64)));
        switch (random.Next(10))
        {
            case 0 when at < bytes.Count:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when at < bytes.Count:
                bytes[at] = (byte)random.Next(256);
                break;
            case 2:
                bytes.RemoveRange(at, length);
                break;
            case 3:
                bytes.RemoveRange(at, bytes.Count - at); // cut off
                break;
            case 4:
                bytes.InsertRange(at, bytes.GetRange(at, length).ToArray()); // twice
                break;
            case 5:
                var other = seeds[random.Next(seeds.Count)];
                var from = random.Next(other.Length + 1);
                bytes.InsertRange(at, other[from..Math.Min(other.Length, from + random.Next(256))]);
                break;
            case 6:
                Replace(bytes, at, 0, Word());
                break;
            case 7:
                // A word or a number of the text becomes another.
                var end = at;
                while (
                    end < bytes.Count
                    && (
                        char.IsAsciiLetterOrDigit((char)bytes[end]) || bytes[end] is (byte)'_' or (byte)'.' or (byte)'-'
                    )
                )
                {
                    end++;
                }

                Replace(bytes, at, end - at, Word());
                break;
            case 8 when at + 8 <= bytes.Count:
                Span<byte> number = stackalloc byte[8];
                BinaryPrimitives.WriteInt64LittleEndian(
                    number,
                    random.Next(4) switch
                    {
                        0 => -1,
                        1 => long.MaxValue,
                        2 => random.Next(),
                        _ => 1L << random.Next(63),
                    }
                );
                Replace(bytes, at, random.Next(2) * 8, number.ToArray());
                break;
            default:
                var repeated = Word();
                for (var times = random.Next(200); times > 0 && bytes.Count < MaxBytes; times--)
                {
                    bytes.InsertRange(at, repeated);
                }

                break;
        }
    }

    private byte[] Word() =>
        random.Next(12) == 0
            ? Invalid[random.Next(Invalid.Length)]
            : Encoding.UTF8.GetBytes(
                random.Next(2) == 0 && words.Count > 0
                    ? words[random.Next(words.Count)]
                    : Everywhere[random.Next(Everywhere.Length)]
            );

    private static void Replace(List<byte> bytes, int at, int length, byte[] with)
    {
        bytes.RemoveRange(at, length);
        bytes.InsertRange(at, with);
    }
}
