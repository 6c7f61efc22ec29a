using GlmTune.Testing.Disks;

namespace GlmTune.Files.Tests;

/// <summary>Each single operation of saving goes wrong once, in each way. What is there afterwards is whole: the old or
/// the new.</summary>
public sealed class DiskFaultTests
{
    public static TheoryData<DiskFault> Faults => [.. DiskFaults.All];

    public static TheoryData<DiskFault, bool, bool> FaultsOfFolders =>
        [
            .. DiskFaults.All.SelectMany(fault =>
                new (DiskFault, bool, bool)[] { (fault, false, false), (fault, true, true), (fault, true, false) }
            ),
        ];

    [Theory, MemberData(nameof(Faults))]
    public void A_file_has_its_old_or_its_new_content(DiskFault fault)
    {
        var hit = FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                using var folder = new MemoryFolder();
                File.WriteAllText(folder.At("a.json"), "old content");
                var disk = new FaultyDisk(folder.Path, fault, n, seed);
                var error = disk.Try(() => AtomicFile.WriteText(folder.At("a.json"), "the new content"));

                ExpectKnown(error, fault, folder.Path);
                Assert.Contains(
                    File.ReadAllText(folder.At("a.json")),
                    error is null ? ["the new content"] : (string[])["old content", "the new content"]
                );
                if (!fault.Ends())
                {
                    Assert.Single(Directory.GetFiles(folder.Path));
                }

                return disk;
            }
        );
        Assert.True(hit > 0, $"{fault} hit nothing");
    }

    [Theory, MemberData(nameof(Faults))]
    public void A_file_in_a_new_folder_is_there_with_its_folder(DiskFault fault) =>
        FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                using var folder = new MemoryFolder();
                var disk = new FaultyDisk(folder.Path, fault, n, seed);
                var error = disk.Try(() => AtomicFile.WriteText(folder.At("deep", "er", "a.json"), "content"));
                ExpectKnown(error, fault, folder.Path);
                if (error is null || File.Exists(folder.At("deep", "er", "a.json")))
                {
                    Assert.Equal("content", File.ReadAllText(folder.At("deep", "er", "a.json")));
                }

                return disk;
            }
        );

    [Theory, MemberData(nameof(FaultsOfFolders))]
    public void A_folder_is_there_whole_the_old_or_the_new_or_not_at_all(DiskFault fault, bool replaces, bool exchanges)
    {
        var hit = FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                using var parent = new MemoryFolder();
                if (replaces)
                {
                    Publish(parent.At("c"), "old");
                }

                var disk = new FaultyDisk(parent.Path, fault, n, seed)
                {
                    Refuses = call => call.Operation == DiskOperation.Exchange && !exchanges,
                };
                var error = disk.Try(() => Publish(parent.At("c"), "new"));
                ExpectKnown(error, fault, parent.Path);
                AtomicFolder.RemoveStale(parent.Path, Assert.Fail);

                Assert.True(error is not null || Directory.Exists(parent.At("c")));
                Assert.Equal(
                    replaces || Directory.Exists(parent.At("c")) ? ["c"] : [],
                    Directory.GetFileSystemEntries(parent.Path).Select(Path.GetFileName)
                );
                if (Directory.Exists(parent.At("c")))
                {
                    Assert.Empty(FolderManifest.FindProblems(parent.At("c")));
                    Assert.Contains(
                        File.ReadAllText(parent.At("c", "a.txt")),
                        error is null ? ["new"] : (string[])["old", "new"]
                    );
                }

                Publish(parent.At("c"), "newer");
                Assert.Equal("newer", File.ReadAllText(parent.At("c", "a.txt")));
                return disk;
            }
        );
        Assert.True(hit > 0, $"{fault} hit nothing");
    }

    [Theory, MemberData(nameof(Faults))]
    public void A_discarded_folder_stays_whole_or_has_another_name(DiskFault fault) =>
        FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                using var parent = new MemoryFolder();
                Publish(parent.At("c"), "text");
                var disk = new FaultyDisk(parent.Path, fault, n, seed);
                string? problem = null;
                var error = disk.Try(() => problem = AtomicFolder.Discard(parent.At("c")));
                ExpectKnown(error, fault, parent.Path);
                if (!fault.Ends())
                {
                    Assert.Equal(disk.Failed is not null, problem is not null);
                }

                AtomicFolder.RemoveStale(parent.Path, Assert.Fail);
                Assert.True(
                    !Directory.Exists(parent.At("c")) || FolderManifest.FindProblems(parent.At("c")).Count == 0,
                    $"{fault} {n}: {disk.Failed}"
                );
                return disk;
            }
        );

    [Theory, MemberData(nameof(Faults))]
    public void A_lock_that_was_not_taken_is_free_afterwards(DiskFault fault) =>
        FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                using var parent = new MemoryFolder();
                var folder = parent.At("out", "put");
                var disk = new FaultyDisk(parent.Path, fault, n, seed);
                var error = disk.Try(() => FolderLock.Take(folder, "one", Assert.Fail).Dispose());
                ExpectKnown(error, fault, parent.Path);
                FolderLock.Take(folder, "two", _ => { }).Dispose();
                return disk;
            }
        );

    [Theory, MemberData(nameof(Faults))]
    public void A_probe_reports_a_problem_and_leaves_nothing(DiskFault fault) =>
        FaultyDisk.ForEvery(
            fault,
            (n, seed) =>
            {
                using var parent = new MemoryFolder();
                var disk = new FaultyDisk(parent.Path, fault, n, seed);
                string? problem = null;
                var error = disk.Try(() => problem = WriteProbe.FindProblem(parent.At("out", "put")));
                ExpectKnown(error, fault, parent.Path);
                if (!fault.Ends())
                {
                    Assert.Null(error);
                    Assert.True(
                        problem is not null
                            || disk.Failed is null or { Operation: DiskOperation.Delete or DiskOperation.DeleteFolder },
                        $"{fault} {n}: {disk.Failed}"
                    );
                }

                return disk;
            }
        );

    // A process that ends does so by the fault; everything else is an error of the disk that names what failed.
    private static void ExpectKnown(Exception? error, DiskFault fault, string root)
    {
        if (error is ProcessEndedException)
        {
            Assert.True(fault.Ends());
        }
        else if (error is not null)
        {
            Assert.True(error is IOException or UnauthorizedAccessException, error.ToString());
            Assert.Contains(root, error.Message, StringComparison.Ordinal);
        }
    }

    private static void Publish(string target, string text)
    {
        using var folder = AtomicFolder.Create(target);
        AtomicFile.WriteText(Path.Combine(folder.Path, "a.txt"), text);
        AtomicFile.WriteBytes(Path.Combine(folder.Path, "inner", "b.bin"), new byte[2_000]);
        folder.Publish(replace: true);
    }
}
