using CsCheck;
using GlmTune.Data.Batching;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Batching;

/// <summary>Made-up examples of given lengths; token ids count up over all examples, so that each is there
/// once.</summary>
internal static class Some
{
    public static readonly Gen<int[]> Lengths = Gen.Int[3, 40].Array[1, 60];

    public static List<TokenizedExample> Examples(params int[] lengths)
    {
        var next = 1000;
        return
        [
            .. lengths.Select(length =>
            {
                var ids = Enumerable.Range(next, length).ToArray();
                next += length;
                return new TokenizedExample(ids, length > 8 ? [(2, 4), (5, length)] : [(length - 1, length)])
                {
                    FullLength = length,
                    LostItsEnd = false,
                };
            }),
        ];
    }

    public static IReadOnlyList<StepBatches> Epoch(
        IReadOnlyList<TokenizedExample> examples,
        BatchOptions options,
        int rank,
        int worldSize,
        int epoch = 0
    )
    {
        var batches = new TrainingBatches(examples, options, paddingId: 7, rank, worldSize)
        {
            Cursor = new DataCursor(epoch, 0),
        };
        var steps = new List<StepBatches>();
        while (batches.Cursor.Epoch == epoch)
        {
            steps.Add(batches.Next());
        }

        return steps;
    }
}
