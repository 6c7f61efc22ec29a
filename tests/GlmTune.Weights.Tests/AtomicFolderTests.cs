namespace GlmTune.Weights.Tests;

public sealed class AtomicFolderTests
{
    [Fact]
    public void A_published_folder_is_whole_and_its_manifest_says_so()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.File("checkpoint-5"), "five");

        Assert.Empty(FolderManifest.FindProblems(parent.File("checkpoint-5")));
        FolderManifest.Verify(parent.File("checkpoint-5"));
        Assert.Equal(["checkpoint-5"], Names(parent.Path));
        Assert.Contains("\"name\": \"inner/state.json\"", File.ReadAllText(parent.File("checkpoint-5/manifest.json")));
    }

    [Fact]
    public void A_file_that_somebody_wrote_and_that_is_not_there_keeps_the_folder_from_its_name()
    {
        using var parent = new TemporaryFolder();
        using (var folder = AtomicFolder.Create(parent.File("checkpoint-5")))
        {
            Fill(folder.Path, "five");
            Assert.Throws<FileNotFoundException>(() => folder.Publish(hashes: new Dictionary<string, string> { ["optimizer-00001-of-00002.safetensors"] = "00" }));
        }

        Assert.Empty(Names(parent.Path));
    }

    [Fact]
    public void Until_it_is_published_the_target_is_not_there()
    {
        using var parent = new TemporaryFolder();
        using (var folder = AtomicFolder.Create(parent.File("checkpoint-5")))
        {
            Fill(folder.Path, "five");
            Assert.Equal(AtomicFolder.TemporaryPath(parent.File("checkpoint-5") + "/"), folder.Path);
            Assert.Equal(["tmp-glmtune-checkpoint-5"], Names(parent.Path));
        }

        Assert.Empty(Names(parent.Path));
    }

    [Fact]
    public void What_a_killed_process_left_is_found_and_removed()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.File("checkpoint-5"), "five");
        Directory.CreateDirectory(parent.File("tmp-mine"));
        Fill(AtomicFolder.Create(parent.File("checkpoint-10")).Path, "ten"); // never disposed, as after a kill

        Assert.Equal([parent.File("tmp-glmtune-checkpoint-10")], AtomicFolder.FindStale(parent.Path));
        Assert.Equal([parent.File("tmp-glmtune-checkpoint-10")], AtomicFolder.RemoveStale(parent.Path));
        Assert.Equal(["checkpoint-5", "tmp-mine"], Names(parent.Path));
        Assert.Empty(AtomicFolder.FindStale(parent.File("nowhere")));
    }

    [Fact]
    public void A_new_attempt_starts_empty()
    {
        using var parent = new TemporaryFolder();
        File.WriteAllText(Path.Combine(AtomicFolder.Create(parent.File("c")).Path, "half"), "");
        using var folder = AtomicFolder.Create(parent.File("c"));

        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_folder_is_replaced_only_when_asked()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.File("c"), "old");
        using var folder = AtomicFolder.Create(parent.File("c"));
        Fill(folder.Path, "new");

        Assert.Contains("is there already", Assert.Throws<IOException>(() => folder.Publish()).Message);
        Assert.Equal("old", File.ReadAllText(parent.File("c/a.txt")));
        folder.Publish(replace: true);
        Assert.Equal("new", File.ReadAllText(parent.File("c/a.txt")));
        Assert.Equal(["c"], Names(parent.Path));
        Assert.Empty(FolderManifest.FindProblems(parent.File("c")));
    }

    [Fact]
    public void A_folder_is_discarded_whole_or_stays_with_the_reason()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.File("a"), "text");
        Publish(parent.File("b"), "text");
        Directory.CreateDirectory(parent.File("tmp-glmtune-a")); // of an interrupted attempt
        File.WriteAllText(parent.File("tmp-glmtune-b"), "in the way");

        Assert.Null(AtomicFolder.Discard(parent.File("a")));
        Assert.NotNull(AtomicFolder.Discard(parent.File("b")));
        Assert.Equal(["b", "tmp-glmtune-b"], Names(parent.Path).Order());
        Assert.Empty(FolderManifest.FindProblems(parent.File("b")));
    }

    [Fact]
    public void A_folder_moved_aside_for_one_that_never_came_is_put_back()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.File("c"), "old");
        Directory.Move(parent.File("c"), parent.File("tmp-glmtune.old-c"));
        Directory.CreateDirectory(parent.File("tmp-glmtune-c"));
        AtomicFolder.RemoveStale(parent.Path);

        Assert.Equal(["c"], Names(parent.Path));
        Assert.Equal("old", File.ReadAllText(parent.File("c/a.txt")));
    }

    [Fact]
    public void Every_change_of_a_published_folder_is_found()
    {
        using var parent = new TemporaryFolder();
        Publish(parent.File("c"), "text");
        File.WriteAllText(parent.File("c/a.txt"), "tExt");
        File.AppendAllText(parent.File("c/inner/state.json"), " ");
        File.Delete(parent.File("c/b.bin"));
        File.WriteAllText(parent.File("c/notes.md"), "mine");

        Assert.Equal(
            ["'a.txt' has other bytes than were written (its hash differs)", "'b.bin' is missing", "'inner/state.json' has 3 bytes; it was written with 2"],
            FolderManifest.FindProblems(parent.File("c")));
        Assert.Equal(2, FolderManifest.FindProblems(parent.File("c"), hashes: false).Count);
        Assert.Contains("c: 3 problems", Assert.Throws<InvalidDataException>(() => FolderManifest.Verify(parent.File("c"))).Message);
    }

    [Theory]
    [InlineData(null, "has no manifest.json")]
    [InlineData("{", "is not the JSON it should be")]
    [InlineData("{}", "has no list 'files'")]
    [InlineData("null", "has no list 'files'")]
    [InlineData("{\"files\":[{\"bytes\":1}]}", "has no list 'files' of name")]
    [InlineData("{\"files\":[null]}", "has no list 'files' of name")]
    [InlineData("{\"files\":[{\"name\":\"../x\",\"bytes\":1,\"xxh128\":\"\"}]}", "names '../x', which is not inside the folder")]
    [InlineData("{\"files\":[{\"name\":\"/etc/passwd\",\"bytes\":1,\"xxh128\":\"\"}]}", "which is not inside the folder")]
    public void A_folder_with_an_unsound_manifest_is_not_whole(string? manifest, string reason)
    {
        using var folder = new TemporaryFolder();
        if (manifest is not null)
        {
            File.WriteAllText(folder.File("manifest.json"), manifest);
        }

        Assert.Contains(reason, Assert.Single(FolderManifest.FindProblems(folder.Path)));
    }

    [Fact]
    public void A_small_file_is_replaced_whole()
    {
        using var folder = new TemporaryFolder();
        AtomicFile.WriteText(folder.File("t"), "a long first text");
        AtomicFile.WriteText(folder.File("t"), "短");
        AtomicFile.WriteJson(folder.File("j"), new { text = "短<", list = new[] { 1 } });

        Assert.Equal("短"u8.ToArray(), File.ReadAllBytes(folder.File("t")));
        Assert.Equal("{\n  \"text\": \"短<\",\n  \"list\": [\n    1\n  ]\n}\n", File.ReadAllText(folder.File("j")));
        Assert.Equal(["j", "t"], Names(folder.Path));
    }

    private static void Publish(string target, string text)
    {
        using var folder = AtomicFolder.Create(target);
        Fill(folder.Path, text);
        folder.Publish();
    }

    private static void Fill(string folder, string text)
    {
        File.WriteAllText(Path.Combine(folder, "a.txt"), text);
        File.WriteAllBytes(Path.Combine(folder, "b.bin"), [1, 2]);
        Directory.CreateDirectory(Path.Combine(folder, "inner"));
        File.WriteAllText(Path.Combine(folder, "inner", "state.json"), "{}");
    }

    private static IEnumerable<string?> Names(string folder) => Directory.GetFileSystemEntries(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal);
}
