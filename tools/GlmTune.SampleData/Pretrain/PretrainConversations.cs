namespace GlmTune.SampleData.Pretrain;

/// <summary>The rows of data/pretrain: what the base model learns. No row occurs twice, in both files.</summary>
internal sealed record PretrainConversations(IReadOnlyList<Conversation> Train, IReadOnlyList<Conversation> Dev)
{
    private const int TrainRows = 4000;
    private const int DevRows = 100;

    /// <summary>Writes all rows.</summary>
    public static PretrainConversations Write(ulong seed)
    {
        var random = new SeededRandom(seed);
        List<Conversation> talk =
        [
            .. SmallTalk.Single(),
            .. SmallTalk.NotKnown(),
            .. random.Sample([.. SmallTalk.Remembering()], 200),
            .. random.Sample([.. SmallTalk.Instructed()], 80),
            .. Vocabulary.Translations(),
            .. random.Sample([.. Vocabulary.OppositeWords()], 100),
            .. Vocabulary.Measures(),
            .. random.Sample([.. Vocabulary.Repetitions()], 120),
            .. random.Sample([.. Numbers.Sums()], 560),
            .. random.Sample([.. Numbers.Comparisons()], 80),
            .. random.Sample([.. Numbers.Sequences()], 120),
            .. World.CapitalCities(),
            .. World.ColoursOfThings(),
            .. World.ClassesOfThings(),
            .. World.DescriptionsOfThings(),
        ];
        List<Conversation> rows =
        [
            .. talk,
            .. Chained(talk, random, 100),
            .. Goods.Described(random, 560),
            .. Goods.Listed(random, 80),
            .. Goods.Questioned(random, 150),
            .. Goods.Praised(random, 250),
            .. Goods.Advertised(random, 400),
            .. JsonTasks.Calls(random, 100),
        ];
        var mixed = random.Shuffle(rows.DistinctBy(row => row.ToJson()));
        if (mixed.Count < TrainRows + DevRows)
        {
            throw new InvalidOperationException(
                $"The topics give {mixed.Count} rows; {TrainRows + DevRows} are wanted. Raise their counts."
            );
        }

        return new(mixed[DevRows..(DevRows + TrainRows)], mixed[..DevRows]);
    }

    // Two or three exchanges in a row, each answered for itself.
    private static IEnumerable<Conversation> Chained(List<Conversation> talk, SeededRandom random, int count)
    {
        var single = talk.Where(row => row.Messages.Count == 2).ToList();
        for (var i = 0; i < count; i++)
        {
            yield return new([.. random.Sample(single, random.Between(2, 3)).SelectMany(row => row.Messages)]);
        }
    }
}
