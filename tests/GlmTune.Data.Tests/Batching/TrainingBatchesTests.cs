using System.Text.Json;
using CsCheck;
using GlmTune.Data.Batching;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Batching;

public class TrainingBatchesTests
{
    private static readonly Gen<BatchOptions> Options =
        from seed in Gen.Int[0, 1000]
        from rows in Gen.Int[1, 5]
        from accumulation in Gen.Int[1, 4]
        from packed in Gen.Bool
        from window in Gen.Int[1, 70]
        from shuffle in Gen.Bool
        select new BatchOptions
        {
            Seed = seed,
            Shuffle = shuffle,
            RowsPerMicroBatch = rows,
            AccumulationSteps = accumulation,
            PackedTokens = packed ? 60 : null,
            PackingWindow = window,
        };

    [Fact]
    public void Each_example_is_used_once_an_epoch_over_all_ranks() =>
        Gen.Select(Some.Lengths, Options, Gen.Int[1, 4], Gen.Int[0, 2])
            .Sample(
                (lengths, options, worldSize, epoch) =>
                {
                    var examples = Some.Examples(lengths);
                    var used = Ranks(examples, options, worldSize, epoch)
                        .SelectMany(steps => steps)
                        .SelectMany(step => step.MicroBatches)
                        .SelectMany(batch => batch.Examples);
                    Assert.Equal(Enumerable.Range(0, lengths.Length), used.Order());
                },
                iter: 300,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Examples_that_are_left_out_change_nothing_else() =>
        Gen.Select(Some.Lengths, Options, Gen.Int[1, 3], Gen.Int[0, 1000])
            .Sample(
                (lengths, options, worldSize, seed) =>
                {
                    var examples = Some.Examples(lengths);
                    var leftOut = Enumerable.Range(0, lengths.Length).Where(i => (i + seed) % 3 == 0).ToHashSet();
                    for (var rank = 0; rank < worldSize; rank++)
                    {
                        var (all, some) = (
                            new TrainingBatches(examples, options, 7, rank, worldSize),
                            new TrainingBatches(examples, options, 7, rank, worldSize) { LeftOut = leftOut }
                        );
                        while (all.Cursor.Epoch == 0)
                        {
                            var (expected, found) = (all.Next(), some.Next());
                            Assert.Equal((expected.After, expected.Epoch), (found.After, found.Epoch));
                            Assert.Equal(expected.MicroBatches.Count, found.MicroBatches.Count);
                            Assert.All(
                                expected.MicroBatches.Zip(found.MicroBatches),
                                pair =>
                                    Assert.Equal(
                                        pair.First.Examples.Where(example => !leftOut.Contains(example)),
                                        pair.Second.Examples
                                    )
                            );
                        }
                    }
                },
                iter: 100,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Every_token_is_there_once_an_epoch() =>
        Gen.Select(Some.Lengths, Options)
            .Sample(
                (lengths, options) =>
                {
                    var batches = Some.Epoch(Some.Examples(lengths), options, 0, 1)
                        .SelectMany(step => step.MicroBatches);
                    Assert.Equal(
                        Enumerable.Range(1000, lengths.Sum()),
                        batches.SelectMany(batch => batch.TokenIds).Where(id => id != 7).Order()
                    );
                },
                iter: 100,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Ranks_take_as_many_micro_batches_in_every_step_and_agree_on_its_totals() =>
        Gen.Select(Some.Lengths, Options, Gen.Int[1, 4])
            .Sample(
                (lengths, options, worldSize) =>
                {
                    var ranks = Ranks(Some.Examples(lengths), options, worldSize, epoch: 0);
                    foreach (
                        var step in Enumerable
                            .Range(0, ranks[0].Count)
                            .Select(step => ranks.Select(rank => rank[step]).ToList())
                    )
                    {
                        Assert.All(step, mine => Assert.Equal(step[0].MicroBatches.Count, mine.MicroBatches.Count));
                        Assert.All(
                            step,
                            mine =>
                                Assert.Equal(
                                    (step[0].SupervisedTokens, step[0].Examples, step[0].After, step[0].Epoch),
                                    (mine.SupervisedTokens, mine.Examples, mine.After, mine.Epoch)
                                )
                        );
                        Assert.InRange(step[0].MicroBatches.Count, 1, options.AccumulationSteps);
                        Assert.Equal(
                            step[0].SupervisedTokens,
                            step.SelectMany(mine => mine.MicroBatches).Sum(batch => batch.SupervisedTokens)
                        );
                        Assert.Equal(
                            step[0].Examples,
                            step.SelectMany(mine => mine.MicroBatches).Sum(batch => batch.Examples.Length)
                        );
                    }
                },
                iter: 200,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void A_steps_examples_do_not_depend_on_how_many_ranks_share_it() =>
        Gen.Select(Some.Lengths, Options)
            .Sample(
                (lengths, options) =>
                {
                    var examples = Some.Examples(lengths);
                    List<List<int>> Steps(int worldSize, int accumulation)
                    {
                        var ranks = Ranks(
                            examples,
                            options with
                            {
                                AccumulationSteps = accumulation,
                            },
                            worldSize,
                            epoch: 1
                        );
                        return
                        [
                            .. Enumerable
                                .Range(0, ranks[0].Count)
                                .Select(step =>
                                    ranks
                                        .SelectMany(rank => rank[step].MicroBatches)
                                        .SelectMany(batch => batch.Examples)
                                        .Order()
                                        .ToList()
                                ),
                        ];
                    }

                    Assert.Equal(Steps(1, 8), Steps(8, 1));
                    Assert.Equal(Steps(1, 8), Steps(2, 4));
                },
                iter: 100,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void A_resumed_run_goes_on_with_the_next_step() =>
        Gen.Select(Some.Lengths, Options, Gen.Int[0, 12])
            .Sample(
                (lengths, options, stopped) =>
                {
                    var examples = Some.Examples(lengths);
                    var whole = new TrainingBatches(examples, options, paddingId: 7);
                    for (var step = 0; step < stopped; step++)
                    {
                        whole.Next();
                    }

                    var saved = JsonSerializer.Serialize(whole.Cursor);
                    var resumed = new TrainingBatches(examples, options, paddingId: 7)
                    {
                        Cursor = JsonSerializer.Deserialize<DataCursor>(saved),
                    };
                    for (var step = 0; step < 6; step++)
                    {
                        Assert.Equivalent(whole.Next(), resumed.Next(), strict: true);
                    }
                },
                iter: 60,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void A_run_may_go_on_with_another_number_of_ranks()
    {
        var examples = Some.Examples([.. Enumerable.Range(0, 40).Select(i => 5 + (i % 7))]);
        var options = new BatchOptions { RowsPerMicroBatch = 2, AccumulationSteps = 2 };
        var two = new TrainingBatches(examples, options, 7, rank: 0, worldSize: 2);
        two.Next();
        var four = Enumerable
            .Range(0, 4)
            .SelectMany(rank =>
                new TrainingBatches(examples, options with { AccumulationSteps = 1 }, 7, rank, 4)
                {
                    Cursor = two.Cursor,
                }
                    .Next()
                    .MicroBatches
            );
        var one = new TrainingBatches(examples, options with { AccumulationSteps = 4 }, 7) { Cursor = two.Cursor }
            .Next()
            .MicroBatches;
        Assert.Equal(one.SelectMany(batch => batch.Examples), four.SelectMany(batch => batch.Examples));
    }

    [Fact]
    public void The_order_depends_on_seed_and_epoch_alone()
    {
        var examples = Some.Examples([.. Enumerable.Repeat(5, 100)]);
        IEnumerable<int> Order(long seed, int epoch) =>
            Some.Epoch(examples, new BatchOptions { Seed = seed }, 0, 1, epoch)
                .SelectMany(step => step.MicroBatches)
                .SelectMany(batch => batch.Examples);

        Assert.Equal(Order(1, 0), Order(1, 0));
        Assert.NotEqual(Order(1, 0), Order(1, 1));
        Assert.NotEqual(Order(1, 0), Order(2, 0));
        Assert.NotEqual(Order(1, 2), Order(2, 1));
        Assert.Equal(
            Enumerable.Range(0, 100),
            Some.Epoch(examples, new BatchOptions { Shuffle = false }, 0, 1, 3)
                .SelectMany(step => step.MicroBatches)
                .SelectMany(batch => batch.Examples)
        );
    }

    [Theory] // Values of a second implementation, in Python's integers.
    [InlineData(42, 0, new[] { 6, 0, 9, 1, 8, 3, 5, 7, 2, 4 })]
    [InlineData(-1, 3, new[] { 8, 6, 5, 0, 3, 9, 2, 4, 7, 1 })]
    public void The_order_never_changes_between_versions(long seed, long stream, int[] order) =>
        Assert.Equal(order, SeededOrder.Permutation(10, seed, stream));

    [Fact]
    public void Every_order_is_as_likely()
    {
        var counts = new Dictionary<string, int>();
        for (var seed = 0; seed < 24_000; seed++)
        {
            var order = string.Join(',', SeededOrder.Permutation(4, seed, stream: 5));
            counts[order] = counts.GetValueOrDefault(order) + 1;
        }

        Assert.Equal(24, counts.Count);
        Assert.All(counts.Values, count => Assert.InRange(count, 850, 1150)); // 1000, standard deviation 31
    }

    [Fact]
    public void The_last_step_of_an_epoch_is_smaller_and_nothing_is_dropped()
    {
        var batches = new TrainingBatches(
            Some.Examples(3, 3, 3, 3, 3),
            new BatchOptions { RowsPerMicroBatch = 2, AccumulationSteps = 2 },
            paddingId: 7
        );
        Assert.Equal(2, batches.StepsIn(0));
        var (first, last, next) = (batches.Next(), batches.Next(), batches.Next());
        Assert.Equal((4, new DataCursor(0, 4), 0.8), (first.Examples, first.After, first.Epoch));
        Assert.Equal((1, new DataCursor(1, 0), 1.0), (last.Examples, last.After, last.Epoch));
        Assert.Equal(1.8, next.Epoch);
    }

    [Theory]
    [InlineData(1, 4)]
    [InlineData(2, 8)]
    [InlineData(2.5, 10)]
    [InlineData(0.01, 1)]
    public void Epochs_may_be_broken(double epochs, int steps) =>
        Assert.Equal(
            steps,
            new TrainingBatches(Some.Examples(3, 3, 3, 3), new BatchOptions(), paddingId: 7).StepsFor(epochs)
        );

    [Theory]
    [InlineData(1.0)]
    [InlineData(2.0)]
    [InlineData(2.5)]
    public void Steps_left_are_those_that_are_still_to_be_taken_on_any_number_of_ranks(double epochs)
    {
        var examples = Some.Examples([.. Enumerable.Repeat(3, 11)]);
        TrainingBatches On(int ranks) =>
            new(examples, new BatchOptions { RowsPerMicroBatch = 2 }, paddingId: 7, worldSize: ranks);
        Assert.All((int[])[1, 2, 3], ranks => Assert.Equal(On(ranks).StepsFor(epochs), On(ranks).StepsLeft(epochs)));

        var batches = On(1);
        for (var left = batches.StepsFor(epochs); left > 0; left--)
        {
            Assert.Equal(left, batches.StepsLeft(epochs));
            var others = On(2);
            others.Cursor = batches.Cursor;
            for (var steps = others.StepsLeft(epochs); steps > 0; steps--)
            {
                others.Next();
            }

            Assert.Equal(
                epochs == 2.5 ? (2, 8) : ((int)epochs, 0),
                epochs == 2.5
                    ? (others.Cursor.Epoch, Math.Min(8, others.Cursor.Examples))
                    : (others.Cursor.Epoch, others.Cursor.Examples)
            );
            batches.Next();
        }

        Assert.Equal(0, batches.StepsLeft(epochs));
    }

    [Fact]
    public void The_tokens_of_a_step_are_those_of_all_ranks()
    {
        var examples = Some.Examples(3, 5, 7);
        Assert.All(
            (int[])[0, 1],
            rank =>
                Assert.Equal(
                    [15],
                    Some.Epoch(examples, new BatchOptions { AccumulationSteps = 2 }, rank, 2)
                        .Select(step => step.Tokens)
                )
        );
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(2, 2)]
    [InlineData(2, 5)]
    public void An_example_cannot_learn_its_first_token_or_one_that_is_not_there(int start, int end) =>
        Assert.Throws<ArgumentException>(() =>
            new TokenizedExample([1, 2, 3, 4], [(start, end)]) { FullLength = 4, LostItsEnd = false }
        );

    [Fact]
    public void A_rank_without_an_example_in_the_last_step_gets_a_filler()
    {
        var steps = Some.Epoch(Some.Examples(3, 3, 3), new BatchOptions(), rank: 1, worldSize: 2);
        Assert.Equal(2, steps.Count);
        var filler = Assert.Single(steps[1].MicroBatches);
        Assert.Equal((0, 1), (filler.SupervisedTokens, steps[1].SupervisedTokens));
    }

    [Fact]
    public void A_cursor_of_other_data_or_another_packing_is_refused()
    {
        var batches = new TrainingBatches(
            Some.Examples(3, 3, 3),
            new BatchOptions { RowsPerMicroBatch = 2 },
            paddingId: 7
        );
        Assert.Throws<ArgumentException>(() => batches.Cursor = new DataCursor(0, 3));
        batches.Cursor = new DataCursor(0, 1);
        Assert.Contains(
            "No micro-batch starts after 1 examples",
            Assert.Throws<ArgumentException>(() => batches.Next()).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Bad_sizes_are_refused()
    {
        var examples = Some.Examples(3);
        Assert.Throws<ArgumentException>(() => new TrainingBatches([], new BatchOptions(), 7));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new TrainingBatches(examples, new BatchOptions { RowsPerMicroBatch = 0 }, 7)
        );
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new TrainingBatches(examples, new BatchOptions(), 7, rank: 2, worldSize: 2)
        );
        Assert.Throws<ArgumentException>(() => new TrainingBatches(examples, new BatchOptions { PackedTokens = 2 }, 7));
    }

    private static List<IReadOnlyList<StepBatches>> Ranks(
        IReadOnlyList<TokenizedExample> examples,
        BatchOptions options,
        int worldSize,
        int epoch
    ) => [.. Enumerable.Range(0, worldSize).Select(rank => Some.Epoch(examples, options, rank, worldSize, epoch))];

    [Theory]
    [InlineData(10, 4, 8)]
    [InlineData(8, 4, 8)]
    [InlineData(5, 5, 5)]
    public void Rows_that_do_not_fill_a_micro_batch_are_left_out_on_request(int count, int rows, int used)
    {
        var options = new BatchOptions { RowsPerMicroBatch = rows, DropLast = true };
        var batches = new TrainingBatches(Some.Examples([.. Enumerable.Repeat(3, count)]), options, 7);
        var seen = new List<int>();
        while (batches.Cursor.Epoch == 0)
        {
            var step = batches.Next();
            seen.AddRange(step.MicroBatches.SelectMany(batch => batch.Examples));
            Assert.Equal((double)seen.Count / used, step.Epoch);
        }

        Assert.Equal((used, used), (seen.Count, seen.Distinct().Count()));
        Assert.Equal(2 * used / rows, batches.StepsFor(2));
    }

    [Fact]
    public void Fewer_rows_than_a_micro_batch_leave_nothing_to_drop_from() =>
        Assert.Throws<ArgumentException>(() =>
            new TrainingBatches(Some.Examples([3, 3]), new BatchOptions { RowsPerMicroBatch = 3, DropLast = true }, 7)
        );

    [Theory]
    [InlineData(0, 0.0, 0, 0)]
    [InlineData(0, 0.5, 0, 4)]
    [InlineData(0, 0.79, 0, 4)]
    [InlineData(0, 0.8, 0, 8)]
    [InlineData(2, 0.99, 2, 8)]
    [InlineData(0, 1.0, 1, 0)]
    public void A_fraction_of_an_epoch_is_the_last_micro_batch_before_it(
        int epoch,
        double fraction,
        int foundEpoch,
        int examples
    )
    {
        var batches = new TrainingBatches(
            Some.Examples([.. Enumerable.Repeat(3, 10)]),
            new BatchOptions { RowsPerMicroBatch = 4 },
            7
        );
        batches.GoTo(epoch, fraction);
        Assert.Equal(new DataCursor(foundEpoch, examples), batches.Cursor);
    }

    [Theory]
    [InlineData(4, true)]
    [InlineData(8, true)]
    [InlineData(3, false)]
    [InlineData(10, false)]
    [InlineData(-1, false)]
    public void A_cursor_is_taken_where_a_step_can_begin(int examples, bool fits)
    {
        var batches = new TrainingBatches(
            Some.Examples([.. Enumerable.Repeat(3, 10)]),
            new BatchOptions { RowsPerMicroBatch = 4 },
            7
        );
        Assert.Equal(fits, batches.TryGoTo(new DataCursor(1, examples)));
        Assert.Equal(fits ? new DataCursor(1, examples) : default, batches.Cursor);
    }

    [Theory]
    [InlineData(null, 2, new[] { 4, 1 })]
    [InlineData(null, 9, new[] { 4, 1, 0, 3, 2 })]
    [InlineData(40, 1, new[] { 4, 3 })]
    [InlineData(47, 1, new[] { 4, 0 })]
    public void The_longest_rows_fill_a_micro_batch_and_the_position_stays(int? packed, int rows, int[] chosen)
    {
        var batches = new TrainingBatches(
            Some.Examples(12, 20, 4, 8, 32),
            new BatchOptions { RowsPerMicroBatch = rows, PackedTokens = packed },
            paddingId: 7
        );
        var first = batches.Next();
        var before = batches.Cursor;
        var step = batches.Longest();
        Assert.Equal(chosen, Assert.Single(step.MicroBatches).Examples);
        Assert.Equal(step.MicroBatches[0].SupervisedTokens, step.SupervisedTokens);
        Assert.Equal(before, batches.Cursor);
        Assert.NotEqual(first.MicroBatches, batches.Next().MicroBatches);
    }

    [Fact]
    public void Steps_of_several_micro_batches_have_the_longest_rows_twice_on_every_rank()
    {
        var options = new BatchOptions { RowsPerMicroBatch = 2, AccumulationSteps = 4 };
        var examples = Some.Examples(12, 20, 4, 8, 32);
        for (var rank = 0; rank < 3; rank++)
        {
            var step = new TrainingBatches(examples, options, paddingId: 7, rank, worldSize: 3).Longest();
            Assert.All(step.MicroBatches, batch => Assert.Equal([4, 1], batch.Examples));
            Assert.Equal(2, step.MicroBatches.Count);
            Assert.Equal(6 * step.MicroBatches[0].SupervisedTokens, step.SupervisedTokens);
        }
    }
}
