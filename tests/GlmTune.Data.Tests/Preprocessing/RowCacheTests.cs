using GlmTune.Data.Conversations;
using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Testing.Disks;

namespace GlmTune.Data.Tests.Preprocessing;

public class RowCacheTests
{
    private static readonly Glm4Template Short = new(
        TinyTokenizer.Create(),
        new TemplateOptions { MaxInputTokens = 20, MaxOutputTokens = 20 }
    );

    private static readonly ExampleOptions Skipping = new() { BadRows = BadRows.Skip, Parallelism = 2 };

    private static string Row(string user, string assistant, string more = "") =>
        $$"""{"messages": [{"role": "user", "content": "{{user}}"}, {"role": "assistant", "content": "{{assistant}}"}]{{more}}}""";

    // Rows that are used, truncated, skipped, odd, and with ignored keys.
    private static readonly string Rows = string.Join(
        '\n',
        [
            Row("hello world", "你好你"),
            Row("q", new string('a', 60)),
            """{"messages": [{"role": "user", "content": "no answer"}]}""",
            Row("<|user|>", "b", ", \"id\": 7"),
            """{"messages": [{"role": "judge", "content": "q"}]}""",
            .. Enumerable.Range(0, 40).Select(i => Row($"{i} hello", $"{i} world")),
        ]
    );

    [Fact]
    public void Rows_from_the_cache_are_those_of_the_file_and_so_are_all_notes()
    {
        using var folder = new TemporaryFolder();
        var (path, cache) = (folder.Write("data/train.jsonl", Rows), CacheIn(folder));
        var fresh = TrainingSet.Read(path, Short, Skipping);
        var built = TrainingSet.Read(path, Short, Skipping, cache);
        var found = TrainingSet.Read(path, Short, Skipping, cache);
        Assert.Equal((false, true, true), (fresh.IsCached, built.IsCached, found.IsCached));
        Assert.Equal((2, 43, 2), (fresh.Report.Skipped, fresh.Count, fresh.Report.Problems));
        AssertEqual(fresh, built);
        AssertEqual(fresh, found);
        Assert.Null(cache.Note);
    }

    [Fact]
    public void A_moved_file_is_found_by_its_content_and_named_in_the_notes()
    {
        using var folder = new TemporaryFolder();
        var cache = CacheIn(folder);
        TrainingSet.Read(folder.Write("a/train.jsonl", Rows), Short, Skipping, cache);
        var moved = folder.Write("b/other.jsonl", Rows);
        Assert.Equal(0, Counted(cache, moved, Skipping).Reads);
        AssertEqual(TrainingSet.Read(moved, Short, Skipping), TrainingSet.Read(moved, Short, Skipping, cache));
    }

    [Fact]
    public void A_hit_tokenizes_nothing_and_every_change_tokenizes_anew()
    {
        using var folder = new TemporaryFolder();
        var (path, cache) = (folder.Write("train.jsonl", Rows), CacheIn(folder));
        Assert.Equal(1, Counted(cache, path, Skipping).Reads);
        Assert.Equal(0, Counted(cache, path, Skipping).Reads);
        Assert.Equal(0, Counted(cache, path, Skipping with { Parallelism = 3 }).Reads);
        Assert.Equal(1, Counted(cache, path, Skipping with { MaxRows = 4 }).Reads);
        var options = Short.Options;
        Glm4Template[] others =
        [
            new(Short.Tokenizer, options with { MaxInputTokens = 21 }),
            new(Short.Tokenizer, options with { MaxOutputTokens = 21 }),
            new(Short.Tokenizer, options with { EndToken = "<|endoftext|>" }),
            new(Short.Tokenizer, options with { SupervisedAnswers = SupervisedAnswers.Last }),
            new(Short.Tokenizer, options with { ToolCalls = ToolCallStyle.Json }),
            new(Short.Tokenizer, options with { Preset = TemplatePreset.Late2024 }),
            new(TinyTokenizer.Create("{{ 'a template' }}"), options with { Preset = TemplatePreset.Default }),
            new(
                new Tokenizer(
                    [.. TinyTokenizer.Ranks, "zz"u8.ToArray()],
                    SpecialTokens.After(TinyTokenizer.Ranks.Length + 1)
                ),
                options
            ),
        ];
        Assert.All(others, other => Assert.Equal(1, Counted(cache, path, Skipping, other).Reads));
        File.WriteAllText(path, Rows.Replace("39 world", "39 worle", StringComparison.Ordinal));
        Assert.Equal(1, Counted(cache, path, Skipping).Reads);
        Assert.Equal(11, Directory.GetFiles(folder.At("cache")).Length);
    }

    [Fact]
    public void Problems_of_rows_stop_the_reading_and_leave_nothing_behind()
    {
        using var folder = new TemporaryFolder();
        var (path, cache) = (folder.Write("train.jsonl", Rows), CacheIn(folder));
        var expected = Assert.Throws<InvalidDataException>(() => TrainingSet.Read(path, Short)).Message;
        Assert.Equal(
            expected,
            Assert.Throws<InvalidDataException>(() => TrainingSet.Read(path, Short, null, cache)).Message
        );
        Assert.Empty(Directory.GetFiles(folder.At("cache")));
        Assert.Null(cache.Note);
    }

    [Fact]
    public void The_size_of_a_linked_file_is_that_of_its_target()
    {
        using var folder = new TemporaryFolder();
        var target = folder.Write("train.jsonl", Rows);
        File.CreateSymbolicLink(folder.At("link.jsonl"), target);
        var cache = new RowCache(folder.At("cache")) { SmallestData = new FileInfo(target).Length, LeftFree = 0 };
        Assert.True(TrainingSet.Read(folder.At("link.jsonl"), Short, Skipping, cache).IsCached);
        Assert.Equal(0, Counted(cache, target, Skipping).Reads);
    }

    [Fact]
    public void Small_files_are_not_kept()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("train.jsonl", Rows);
        var cache = new RowCache(folder.At("cache"));
        Assert.False(TrainingSet.Read(path, Short, Skipping, cache).IsCached);
        Assert.False(Directory.Exists(folder.At("cache")));
    }

    [Fact]
    public void A_damaged_file_is_noticed_and_written_anew()
    {
        using var folder = new TemporaryFolder();
        var (path, cache) = (folder.Write("train.jsonl", Rows), CacheIn(folder));
        var fresh = TrainingSet.Read(path, Short, Skipping);
        TrainingSet.Read(path, Short, Skipping, cache);
        var file = Assert.Single(Directory.GetFiles(folder.At("cache")));
        var whole = File.ReadAllBytes(file);
        foreach (var damaged in Damages(whole))
        {
            File.WriteAllBytes(file, damaged);
            Assert.Equal(1, Counted(cache, path, Skipping).Reads);
            Assert.Equal(whole, File.ReadAllBytes(file));
        }

        AssertEqual(fresh, TrainingSet.Read(path, Short, Skipping, cache));
    }

    [Fact]
    public async Task Of_two_that_need_the_same_rows_one_tokenizes_them()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("train.jsonl", Rows);
        using var waits = new ManualResetEventSlim();
        using var starts = new ManualResetEventSlim();
        var (first, second) = (CacheIn(folder), CacheIn(folder, waits.Set));
        var building = Task.Run(() =>
            Counted(
                first,
                path,
                Skipping,
                during: () =>
                {
                    starts.Set();
                    waits.Wait(TestContext.Current.CancellationToken);
                }
            )
        );
        starts.Wait(TestContext.Current.CancellationToken);
        var found = Counted(second, path, Skipping);
        Assert.Equal((1, 0), ((await building).Reads, found.Reads));
        Assert.Equal(43, found.Count);
        Assert.Single(Directory.GetFiles(folder.At("cache")));
    }

    [Fact]
    public async Task If_the_one_that_tokenizes_fails_the_other_does_it()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("train.jsonl", Rows);
        using var waits = new ManualResetEventSlim();
        using var starts = new ManualResetEventSlim();
        var (first, second) = (CacheIn(folder), CacheIn(folder, waits.Set));
        var building = Task.Run(() =>
            Assert.Throws<IOException>(() =>
                Counted(
                    first,
                    path,
                    Skipping,
                    during: () =>
                    {
                        starts.Set();
                        waits.Wait(TestContext.Current.CancellationToken);
                        throw new IOException("the data file cannot be read");
                    }
                )
            )
        );
        starts.Wait(TestContext.Current.CancellationToken);
        Assert.Equal(1, Counted(second, path, Skipping).Reads);
        Assert.Equal("the data file cannot be read", (await building).Message);
        Assert.Null(first.Note);
    }

    [Fact]
    public async Task One_that_makes_no_progress_is_not_waited_for()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("train.jsonl", Rows);
        using var done = new ManualResetEventSlim();
        using var starts = new ManualResetEventSlim();
        var second = new RowCache(folder.At("cache"))
        {
            SmallestData = 0,
            LeftFree = 0,
            Patience = TimeSpan.Zero,
        };
        var building = Task.Run(() =>
            Counted(
                CacheIn(folder),
                path,
                Skipping,
                during: () =>
                {
                    starts.Set();
                    done.Wait(TestContext.Current.CancellationToken);
                }
            )
        );
        starts.Wait(TestContext.Current.CancellationToken);
        Assert.Equal(1, Counted(second, path, Skipping).Reads);
        done.Set();
        Assert.Equal((1, 43), await building);
    }

    [Theory]
    [MemberData(nameof(Faults))]
    public void Whatever_operation_fails_the_rows_are_right(DiskFault fault)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("train.jsonl", Rows);
        var fresh = TrainingSet.Read(path, Short, Skipping);
        var failed = FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                var root = Directory.CreateDirectory(folder.At($"{n} {seed}")).FullName;
                var disk = new FaultyDisk(root, fault, n, seed);
                var cache = new RowCache(Path.Combine(root, "cache")) { SmallestData = 0, LeftFree = 0 };
                TrainingSet? set = null;
                var error = disk.Try(() => set = TrainingSet.Read(path, Short, Skipping, cache));
                if (fault.Ends())
                {
                    Assert.True(error is null or ProcessEndedException, $"{error}");
                }
                else
                {
                    Assert.Null(error);
                    AssertEqual(fresh, set!);
                    Assert.True(set!.IsCached || cache.Note is not null);
                }

                // The next run finds whole rows, or makes them.
                cache = new RowCache(Path.Combine(root, "cache")) { SmallestData = 0, LeftFree = 0 };
                AssertEqual(fresh, TrainingSet.Read(path, Short, Skipping, cache));
                return disk;
            }
        );
        Assert.True(failed > 0);
    }

    public static TheoryData<DiskFault> Faults => [.. DiskFaults.All];

    [Fact]
    public void On_a_full_disk_one_note_says_what_to_do()
    {
        using var folder = new TemporaryFolder();
        var (path, other) = (folder.Write("train.jsonl", Rows), folder.Write("val.jsonl", Row("a", "b")));
        var cache = new RowCache(folder.At("cache")) { SmallestData = 0, LeftFree = long.MaxValue };
        Assert.False(TrainingSet.Read(path, Short, Skipping, cache).IsCached);
        var note = cache.Note;
        Assert.Contains("stay free for checkpoints", note, StringComparison.Ordinal);
        Assert.Contains("row_cache: false", note, StringComparison.Ordinal);
        Assert.False(TrainingSet.Read(other, Short, Skipping, cache).IsCached);
        Assert.Same(note, cache.Note);
        Assert.Empty(Directory.GetFiles(folder.At("cache")));
    }

    [Fact]
    public void A_data_file_that_changes_while_it_is_read_is_read_again_and_not_kept()
    {
        using var folder = new TemporaryFolder();
        var (path, cache) = (folder.Write("train.jsonl", Rows), CacheIn(folder));
        Assert.Null(
            cache.Get(
                path,
                Short,
                Skipping,
                take =>
                {
                    File.AppendAllText(path, "\n" + Row("new", "row"));
                    return new SetReport();
                },
                TestContext.Current.CancellationToken
            )
        );
        Assert.Contains("was changed while it was read", cache.Note, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(folder.At("cache")));
    }

    [Fact]
    public void The_least_recently_used_files_make_room_and_leftovers_go()
    {
        using var folder = new TemporaryFolder();
        var paths = Enumerable.Range(0, 4).Select(i => folder.Write($"{i}.jsonl", Rows + "\n" + Row($"{i}", "a")));
        var cache = CacheIn(folder);
        var files = new List<string>();
        foreach (var path in paths.Take(3).ToList())
        {
            TrainingSet.Read(path, Short, Skipping, cache);
            files.Add(Directory.GetFiles(folder.At("cache")).Except(files).Single());
            File.SetLastWriteTimeUtc(files[^1], new DateTime(2026, 1, files.Count, 0, 0, 0, DateTimeKind.Utc));
        }

        // The first is used again, and a process was killed half a day ago, another just now.
        TrainingSet.Read(folder.At("0.jsonl"), Short, Skipping, cache);
        var (old, young) = (folder.At("cache", ".a.rows.1.tmp"), folder.At("cache", ".b.rows.2.tmp"));
        File.WriteAllText(old, "a");
        File.WriteAllText(young, "b");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddDays(-1));
        var small = new RowCache(folder.At("cache"))
        {
            SmallestData = 0,
            LeftFree = 0,
            MaxBytes = 2 * new FileInfo(files[0]).Length + 100,
        };
        TrainingSet.Read(paths.Last(), Short, Skipping, small);
        Assert.Equal(
            (true, false, false, false, true),
            (File.Exists(files[0]), File.Exists(files[1]), File.Exists(files[2]), File.Exists(old), File.Exists(young))
        );
        Assert.Equal(2, Directory.GetFiles(folder.At("cache"), "*.rows").Length);
        Assert.True(TrainingSet.Read(folder.At("3.jsonl"), Short, Skipping, small).IsCached);
    }

    private static RowCache CacheIn(TemporaryFolder folder, Action? waiting = null) =>
        new(folder.At("cache"))
        {
            SmallestData = 0,
            LeftFree = 0,
            Waiting = waiting,
        };

    // How often the file was read, and the number of rows.
    private static (int Reads, int Count) Counted(
        RowCache cache,
        string path,
        ExampleOptions options,
        Glm4Template? template = null,
        Action? during = null
    )
    {
        var reads = 0;
        var found = cache.Get(
            path,
            template ?? Short,
            options,
            take =>
            {
                reads++;
                during?.Invoke();
                var set = TrainingSet.Read(path, template ?? Short, options);
                foreach (var example in set)
                {
                    take(example);
                }

                return set.Report;
            },
            TestContext.Current.CancellationToken
        );
        return (reads, found!.Value.Examples.Count);
    }

    private static IEnumerable<byte[]> Damages(byte[] whole)
    {
        yield return [];
        yield return whole[..1];
        yield return whole[..^1];
        yield return whole[..(whole.Length / 2)];
        yield return [.. whole, 0];
        yield return new byte[whole.Length];
        for (var at = 0; at < whole.Length; at += 41)
        {
            var flipped = whole.ToArray();
            flipped[at] ^= 1;
            yield return flipped;
        }

        // Another version of the format, otherwise whole.
        var footer = whole.Length - Footer.Size;
        var version = whole.ToArray();
        version[footer + 36]++;
        System.IO.Hashing.XxHash128.Hash(version.AsSpan(..^Footer.HashSize)).CopyTo(version, whole.Length - 16);
        yield return version;
    }

    private static void AssertEqual(TrainingSet expected, TrainingSet actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        Assert.Equal(expected.Tokens, actual.Tokens);
        Assert.Equal(expected.Fingerprint, actual.Fingerprint);
        Assert.Equal(expected.Report.Notes, actual.Report.Notes);
        Assert.Equal(expected.Report with { Notes = [] }, actual.Report with { Notes = [] });
        for (var i = 0; i < expected.Count; i++)
        {
            var (one, other) = (expected[i], actual[i]);
            Assert.Equal(one.TokenIds, other.TokenIds);
            Assert.Equal(one.Supervised, other.Supervised);
            Assert.Equal(
                (one.Line, one.FullLength, one.LostItsEnd, one.SupervisedTokens),
                (other.Line, other.FullLength, other.LostItsEnd, actual.SupervisedTokensOf(i))
            );
        }
    }
}
