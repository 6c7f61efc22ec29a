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
            .. random.Sample([.. SmallTalk.Remembering()], 120),
            .. random.Sample([.. SmallTalk.Instructed()], 80),
            .. random.Sample([.. Vocabulary.Translations()], 330),
            .. random.Sample([.. Vocabulary.OppositeWords()], 100),
            .. Vocabulary.Measures(),
            .. random.Sample([.. Vocabulary.Repetitions()], 100),
            .. random.Sample([.. Numbers.Sums()], 480),
            .. random.Sample([.. Numbers.Comparisons()], 100),
            .. random.Sample([.. Numbers.Sequences()], 120),
            .. World.CapitalCities(),
            .. World.ColoursOfThings(),
            .. World.ClassesOfThings(),
            .. World.DescriptionsOfThings(),
        ];
        List<Conversation> rows =
        [
            .. talk,
            .. Chained(talk, random, 200),
            .. Goods.Described(random, 750),
            .. Goods.Listed(random, 120),
            .. Goods.Questioned(random, 220),
            .. Goods.Praised(random, 950),
            .. JsonTasks.Calls(random, 150),
        ];
        var mixed = random.Shuffle(rows.DistinctBy(row => row.ToJson()));
        if (mixed.Count < TrainRows + DevRows)
        {
            throw new InvalidOperationException($"The topics give {mixed.Count} rows; {TrainRows + DevRows} are wanted. Raise their counts.");
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
