using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>Row lengths with the distribution of a known data set, for benchmarks without the data.</summary>
internal static class SampleLengths
{
    private const int Width = 16;
    private const int FirstAnswer = 2;

    // Counts of AdvertiseGen's 1,070 development rows by length of prompt (row) and answer (column), in units of 16
    // tokens, template included; answers start at 32. Mean 116 tokens, 75 of them supervised.
    private static readonly int[][] AdvertiseGenCounts =
    [
        [6, 12, 2, 2, 1, 0, 0, 0],
        [22, 63, 99, 41, 8, 5, 0, 0],
        [16, 95, 215, 121, 41, 4, 1, 1],
        [3, 27, 101, 84, 36, 12, 1, 0],
        [0, 2, 13, 15, 9, 2, 1, 0],
        [0, 0, 3, 1, 1, 2, 1, 0],
        [0, 0, 0, 0, 1, 0, 0, 0],
    ];

    /// <summary>Examples of random tokens with the lengths of AdvertiseGen's rows.</summary>
    /// <param name="count">Number of examples.</param>
    /// <param name="vocabulary">Exclusive upper bound of the ids.</param>
    /// <param name="seed">Seed of lengths and ids.</param>
    public static IReadOnlyList<TokenizedExample> AdvertiseGen(int count, int vocabulary, int seed)
    {
        var random = new Random(seed);
        var total = AdvertiseGenCounts.Sum(row => row.Sum());
        return
        [
            .. Enumerable
                .Range(0, count)
                .Select(_ =>
                {
                    var (prompt, answer) = Cell(random.Next(total));
                    prompt = Math.Max(4, (prompt * Width) + random.Next(Width));
                    answer = (answer * Width) + random.Next(Width);
                    int[] ids = [.. Enumerable.Range(0, prompt + answer).Select(_ => random.Next(vocabulary))];
                    return new TokenizedExample(ids, [(prompt, ids.Length)])
                    {
                        FullLength = ids.Length,
                        LostItsEnd = false,
                    };
                }),
        ];
    }

    private static (int Prompt, int Answer) Cell(int number)
    {
        for (var row = 0; row < AdvertiseGenCounts.Length; row++)
        {
            for (var column = 0; column < AdvertiseGenCounts[row].Length; column++)
            {
                number -= AdvertiseGenCounts[row][column];
                if (number < 0)
                {
                    return (row, column + FirstAnswer);
                }
            }
        }

        throw new ArgumentOutOfRangeException(nameof(number));
    }
}
