using GlmTune.Testing.Disks;

namespace GlmTune.Files.Tests;

public sealed class AtomicFolderTests
{
    [Fact]
    public void A_published_folder_is_whole_and_its_manifest_says_so()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("checkpoint-5"), "five");

        Assert.Empty(FolderManifest.FindProblems(parent.At("checkpoint-5")));
        FolderManifest.Verify(parent.At("checkpoint-5"));
        Assert.Equal(["checkpoint-5"], Names(parent.Path));
        Assert.Contains("\"name\": \"inner/state.json\"", File.ReadAllText(parent.At("checkpoint-5/manifest.json")));
    }

    [Fact]
    public void A_file_that_somebody_wrote_and_that_is_not_there_keeps_the_folder_from_its_name()
    {
        using var parent = new TemporaryFolder();
        using (var folder = AtomicFolder.Create(parent.At("checkpoint-5")))
        {
            Fill(folder.Path, "five");
            Assert.Throws<FileNotFoundException>(() =>
                folder.Publish(
                    hashes: new Dictionary<string, string> { ["optimizer-00001-of-00002.safetensors"] = "00" }
                )
            );
        }

        Assert.Empty(Names(parent.Path));
    }

    [Fact]
    public void Until_it_is_published_the_target_is_not_there()
    {
        using var parent = new TemporaryFolder();
        using (var folder = AtomicFolder.Create(parent.At("checkpoint-5")))
        {
            Fill(folder.Path, "five");
            Assert.Equal(AtomicFolder.TemporaryPath(parent.At("checkpoint-5") + "/"), folder.Path);
            Assert.Equal(["tmp-glmtune-checkpoint-5"], Names(parent.Path));
        }

        Assert.Empty(Names(parent.Path));
    }

    [Fact]
    public void What_a_killed_process_left_is_found_and_removed()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("checkpoint-5"), "five");
        Directory.CreateDirectory(parent.At("tmp-mine"));
        Fill(Directory.CreateDirectory(parent.At("tmp-glmtune-checkpoint-10")).FullName, "ten");

        Assert.Equal([parent.At("tmp-glmtune-checkpoint-10")], AtomicFolder.FindStale(parent.Path));
        Assert.Equal([parent.At("tmp-glmtune-checkpoint-10")], AtomicFolder.RemoveStale(parent.Path));
        Assert.Equal(["checkpoint-5", "tmp-mine"], Names(parent.Path));
        Assert.Empty(AtomicFolder.FindStale(parent.At("nowhere")));
    }

    [Fact]
    public async Task A_folder_that_another_process_makes_is_waited_for()
    {
        using var parent = new TemporaryFolder();
        Assert.False(AtomicFolder.WaitFor(parent.At("c"), TimeSpan.Zero));
        var waiting = Task.Run(() => AtomicFolder.WaitFor(parent.At("c"), TimeSpan.FromMinutes(10)));
        Directory.CreateDirectory(parent.At("c"));
        Assert.True(await waiting);
    }

    [Fact]
    public void A_new_attempt_starts_empty()
    {
        using var parent = new TemporaryFolder();
        parent.Write("tmp-glmtune-c/half", "");
        using var folder = AtomicFolder.Create(parent.At("c"));

        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_folder_is_replaced_only_when_asked()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("c"), "old");
        using var folder = AtomicFolder.Create(parent.At("c"));
        Fill(folder.Path, "new");

        Assert.Contains("already exists", Assert.Throws<IOException>(() => folder.Publish()).Message);
        Assert.Equal("old", File.ReadAllText(parent.At("c/a.txt")));
        folder.Publish(replace: true);
        Assert.Equal("new", File.ReadAllText(parent.At("c/a.txt")));
        Assert.Equal(["c"], Names(parent.Path));
        Assert.Empty(FolderManifest.FindProblems(parent.At("c")));
    }

    [Fact]
    public void A_folder_is_discarded_whole_or_stays_with_the_reason()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("a"), "text");
        Publish(parent.At("b"), "text");
        Directory.CreateDirectory(parent.At("tmp-glmtune-a")); // of an interrupted attempt
        File.WriteAllText(parent.At("tmp-glmtune-b"), "in the way");

        Assert.Null(AtomicFolder.Discard(parent.At("a")));
        Assert.NotNull(AtomicFolder.Discard(parent.At("b")));
        Assert.Equal(["b", "tmp-glmtune-b"], Names(parent.Path).Order());
        Assert.Empty(FolderManifest.FindProblems(parent.At("b")));
    }

    [Fact]
    public void A_folder_moved_aside_for_one_that_never_came_is_put_back()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("c"), "old");
        Directory.Move(parent.At("c"), parent.At("tmp-glmtune.old-c"));
        Directory.CreateDirectory(parent.At("tmp-glmtune-c"));
        AtomicFolder.RemoveStale(parent.Path);

        Assert.Equal(["c"], Names(parent.Path));
        Assert.Equal("old", File.ReadAllText(parent.At("c/a.txt")));
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public void What_cannot_be_removed_is_put_out_of_the_way_of_the_new_and_noted(bool exchanges)
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("c"), "old");
        Directory.CreateDirectory(parent.At("tmp-glmtune-c"));
        Directory.CreateDirectory(parent.At("tmp-glmtune.old-c"));
        var disk = new FaultyDisk(parent.Path, fault: null, at: 0)
        {
            Refuses = call =>
                call.Operation is DiskOperation.Delete or DiskOperation.DeleteFolder
                || (call.Operation == DiskOperation.Exchange && !exchanges),
        };
        using (Disk.Watch(disk))
        using (var folder = AtomicFolder.Create(parent.At("c")))
        {
            Fill(folder.Path, "new");
            folder.Publish(replace: true);
            Assert.Equal(3, folder.Leftovers.Count);
            Assert.All(folder.Leftovers, left => Assert.Contains("cannot be removed: Device or resource busy", left));
        }

        Assert.Equal("new", File.ReadAllText(parent.At("c/a.txt")));
        Assert.Empty(FolderManifest.FindProblems(parent.At("c")));
        List<string> notes = [];
        using (Disk.Watch(disk))
        {
            Assert.Empty(AtomicFolder.RemoveStale(parent.Path, notes.Add));
        }

        Assert.Equal(3, notes.Count);
        Assert.Equal(3, AtomicFolder.RemoveStale(parent.Path, Assert.Fail).Count);
        Assert.Equal(["c"], Names(parent.Path));
    }

    [Fact]
    public void A_folder_that_cannot_be_put_back_is_kept_and_the_rest_is_removed()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("tmp-glmtune.old-c"), "old");
        Directory.CreateDirectory(parent.At("tmp-glmtune-d"));
        List<string> notes = [];
        using (
            Disk.Watch(
                new FaultyDisk(parent.Path, fault: null, at: 0)
                {
                    Refuses = call => call.Operation == DiskOperation.Rename,
                }
            )
        )
        {
            Assert.Equal([parent.At("tmp-glmtune-d")], AtomicFolder.RemoveStale(parent.Path, notes.Add));
        }

        Assert.Contains("cannot be restored: Device or resource busy", Assert.Single(notes));
        Assert.Equal(["tmp-glmtune.old-c"], Names(parent.Path));
    }

    [Fact]
    public void An_old_folder_comes_back_at_once_where_the_new_one_cannot_get_its_name()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("c"), "old");
        var disk = new FaultyDisk(parent.Path, fault: null, at: 0)
        {
            Refuses = call =>
                call.Operation == DiskOperation.Exchange
                || (call.Operation == DiskOperation.Rename && Path.GetFileName(call.Path) == "tmp-glmtune-c"),
        };
        using (Disk.Watch(disk))
        using (var folder = AtomicFolder.Create(parent.At("c")))
        {
            Fill(folder.Path, "new");
            Assert.Throws<IOException>(() => folder.Publish(replace: true));
        }

        Assert.Equal(["c"], Names(parent.Path));
        Assert.Equal("old", File.ReadAllText(parent.At("c/a.txt")));
    }

    [Fact]
    public void A_folder_that_a_living_process_builds_is_neither_removed_nor_written_to()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Folders are locked on Linux.");
        using var parent = new TemporaryFolder();
        using (var first = AtomicFolder.Create(parent.At("c")))
        {
            Fill(first.Path, "first");
            var error = Assert.Throws<IOException>(() => AtomicFolder.Create(parent.At("c")));
            Assert.StartsWith($"{parent.At("c")}: another process is writing this folder (", error.Message);
            Assert.Empty(AtomicFolder.RemoveStale(parent.Path, Assert.Fail));
            first.Publish();
        }

        Assert.Equal("first", File.ReadAllText(parent.At("c/a.txt")));
        Assert.Empty(FolderManifest.FindProblems(parent.At("c")));
    }

    [Fact]
    public void Two_runs_that_write_the_same_target_never_share_a_file()
    {
        using var parent = new TemporaryFolder();
        using var first = AtomicFolder.Create(parent.At("c"), "1111aaaa");
        using var second = AtomicFolder.Create(parent.At("c"), "2222bbbb");
        Fill(first.Path, "first");
        Fill(second.Path, "second");
        first.Publish();
        second.Publish(replace: true);

        Assert.Equal("second", File.ReadAllText(parent.At("c/a.txt")));
        Assert.Empty(FolderManifest.FindProblems(parent.At("c")));
        Assert.Contains("\"run\": \"2222bbbb\"", File.ReadAllText(parent.At("c/manifest.json")));
        Assert.Equal(["c"], Names(parent.Path));
    }

    [Fact]
    public void A_file_that_cannot_be_read_is_a_problem_like_others()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Reads a file of Linux that cannot be read.");
        using var parent = new TemporaryFolder();
        Publish(parent.At("c"), "text");
        File.Delete(parent.At("c/a.txt"));
        File.CreateSymbolicLink(parent.At("c/a.txt"), "/proc/self/mem");
        File.WriteAllText(parent.At("c/manifest.json"), """{"files":[{"name":"a.txt","bytes":14,"xxh128":"00"}]}""");

        Assert.StartsWith("'a.txt' cannot be read: ", Assert.Single(FolderManifest.FindProblems(parent.At("c"))));
    }

    [Theory]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(8)]
    public void Shares_of_a_check_are_of_like_size_and_miss_nothing(int shares)
    {
        using var parent = new TemporaryFolder();
        using (var folder = AtomicFolder.Create(parent.At("c")))
        {
            for (var i = 0; i < 6; i++)
            {
                File.WriteAllBytes(Path.Combine(folder.Path, $"{i}"), new byte[i < 2 ? 300 : 100]);
            }

            folder.Publish();
        }

        for (var i = 0; i < 6; i++)
        {
            File.Delete(parent.At($"c/{i}"));
        }

        var found = Enumerable
            .Range(0, shares)
            .Select(share => FolderManifest.FindProblems(parent.At("c"), share: share, shares: shares))
            .ToList();

        Assert.Equal(6, found.SelectMany(problems => problems).Distinct().Count());
        Assert.Equal(6, found.Sum(problems => problems.Count));
        // 1000 bytes in all, 300 in one piece.
        int Bytes(IReadOnlyList<string> problems) => problems.Sum(problem => problem[1] < '2' ? 300 : 100);
        Assert.Equal(
            shares switch
            {
                1 => 1000,
                2 => 500,
                3 => 400,
                _ => 300,
            },
            found.Max(Bytes)
        );
    }

    [Fact]
    public void Every_change_of_a_published_folder_is_found()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.At("c"), "text");
        File.WriteAllText(parent.At("c/a.txt"), "tExt");
        File.AppendAllText(parent.At("c/inner/state.json"), " ");
        File.Delete(parent.At("c/b.bin"));
        File.WriteAllText(parent.At("c/notes.md"), "mine");

        Assert.Equal(
            [
                "'a.txt' has changed since it was written (its hash differs)",
                "'b.bin' is missing",
                "'inner/state.json' has 3 bytes; expected 2",
            ],
            FolderManifest.FindProblems(parent.At("c"))
        );
        Assert.Equal(2, FolderManifest.FindProblems(parent.At("c"), hashes: false).Count);
        Assert.Contains(
            "c: 3 problems",
            Assert.Throws<InvalidDataException>(() => FolderManifest.Verify(parent.At("c"))).Message
        );
    }

    [Theory]
    [InlineData(null, "has no manifest.json")]
    [InlineData("{", "is invalid")]
    [InlineData("{}", "lacks the list 'files'")]
    [InlineData("null", "lacks the list 'files'")]
    [InlineData("{\"files\":[{\"bytes\":1}]}", "lacks the list 'files' with name")]
    [InlineData("{\"files\":[null]}", "lacks the list 'files' with name")]
    [InlineData(
        "{\"files\":[{\"name\":\"../x\",\"bytes\":1,\"xxh128\":\"\"}]}",
        "names '../x', which is not inside the folder"
    )]
    [InlineData(
        "{\"files\":[{\"name\":\"/etc/passwd\",\"bytes\":1,\"xxh128\":\"\"}]}",
        "which is not inside the folder"
    )]
    public void A_folder_with_an_unsound_manifest_is_not_whole(string? manifest, string reason)
    {
        using var folder = new TemporaryFolder();
        if (manifest is not null)
        {
            File.WriteAllText(folder.At("manifest.json"), manifest);
        }

        Assert.Contains(reason, Assert.Single(FolderManifest.FindProblems(folder.Path)));
    }

    [Fact]
    public void A_small_file_is_replaced_whole()
    {
        using var folder = new TemporaryFolder();
        AtomicFile.WriteText(folder.At("t"), "a long first text");
        AtomicFile.WriteText(folder.At("t"), "短");
        AtomicFile.WriteJson(folder.At("j"), new { text = "短<", list = new[] { 1 } });

        Assert.Equal("短"u8.ToArray(), File.ReadAllBytes(folder.At("t")));
        Assert.Equal("{\n  \"text\": \"短<\",\n  \"list\": [\n    1\n  ]\n}\n", File.ReadAllText(folder.At("j")));
        Assert.Equal(["j", "t"], Names(folder.Path));
    }

    private static void Publish(string target, string text)
    {
        using var folder = AtomicFolder.Create(target);
        Fill(folder.Path, text);
        folder.Publish(replace: true);
    }

    private static void Fill(string folder, string text)
    {
        File.WriteAllText(Path.Combine(folder, "a.txt"), text);
        File.WriteAllBytes(Path.Combine(folder, "b.bin"), [1, 2]);
        Directory.CreateDirectory(Path.Combine(folder, "inner"));
        File.WriteAllText(Path.Combine(folder, "inner", "state.json"), "{}");
    }

    private static IEnumerable<string?> Names(string folder) =>
        Directory.GetFileSystemEntries(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal);
}
