namespace GlmTune.Files.Tests;

public sealed class FolderLockTests
{
    private static readonly LockOwner Self = new(
        "aaaa1111",
        "node1",
        Environment.ProcessId,
        LockOwner.StartOf(Environment.ProcessId),
        DateTimeOffset.UnixEpoch
    )
    {
        Boot = "boot-a",
        PidNamespace = "pid:[1]",
    };

    [Fact]
    public void A_second_owner_is_refused_by_host_process_and_time_until_the_first_gives_the_folder_back()
    {
        using var parent = new TemporaryFolder();
        var folder = parent.At("deep", "run");
        List<string> notes = [];
        using (FolderLock.Take(folder, "one", notes.Add))
        {
            var text = File.Exists(Path.Combine(folder, FolderLock.FileName))
                ? FolderLock.FindHolder(folder)
                : "no file";
            Assert.StartsWith(
                $"{folder}: another run is using this folder: process {Environment.ProcessId} on "
                    + $"{Environment.MachineName}, since ",
                text
            );
            Assert.Equal(text, Assert.Throws<IOException>(() => FolderLock.Take(folder, "two", notes.Add)).Message);
        }

        Assert.Null(FolderLock.FindHolder(folder));
        Assert.Empty(notes);
        Assert.Empty(Directory.GetFileSystemEntries(parent.Path)); // the folders were made for the lock alone
        using var second = FolderLock.Take(folder, "two", notes.Add);
        Assert.Empty(notes);
    }

    [Fact]
    public void A_folder_with_content_stays_when_its_lock_is_given_back()
    {
        using var parent = new TemporaryFolder();
        using (FolderLock.Take(parent.At("run"), "one", Assert.Fail))
        {
            parent.Write("run/log.jsonl", "");
        }

        Assert.Equal(["log.jsonl"], Directory.GetFileSystemEntries(parent.At("run")).Select(Path.GetFileName));
    }

    [Fact]
    public void The_lock_of_a_process_that_was_killed_is_taken_over_and_noted()
    {
        using var parent = new TemporaryFolder();
        var killed = LockOwner.Current("old") with { Pid = 4194304, Started = "1" };
        File.WriteAllBytes(parent.At(FolderLock.FileName), killed.ToBytes());
        List<string> notes = [];
        using (FolderLock.Take(parent.Path, "new", notes.Add))
        {
            Assert.StartsWith(
                $"{parent.At(FolderLock.FileName)}: names {killed.Describe()}, which has ended; this run",
                Assert.Single(notes)
            );
            Assert.Contains($"process {Environment.ProcessId} on", FolderLock.FindHolder(parent.Path));
        }

        Assert.Null(FolderLock.FindHolder(parent.Path));
    }

    [Fact]
    public void An_owner_on_another_machine_may_still_run_and_the_message_says_what_to_delete()
    {
        using var parent = new TemporaryFolder();
        var path = parent.At(FolderLock.FileName);
        File.WriteAllBytes(path, (Self with { Host = "elsewhere", Boot = "boot-z", Pid = 7 }).ToBytes());
        var error = Assert.Throws<IOException>(() => FolderLock.Take(parent.Path, "two", Assert.Fail));
        Assert.Contains("process 7 on elsewhere, since 1970-01-01 00:00:00 +00:00", error.Message);
        Assert.Contains($"If it has ended, delete {path}", error.Message);
        File.Delete(path);
        FolderLock.Take(parent.Path, "two", Assert.Fail).Dispose();
    }

    [Theory, InlineData(""), InlineData("{\"run\":"), InlineData("mine")]
    public void A_file_that_names_nobody_is_taken_over(string content)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Without a lock of the system, nothing is known.");
        using var parent = new TemporaryFolder();
        parent.Write(FolderLock.FileName, content);
        using var taken = FolderLock.Take(parent.Path, "two", Assert.Fail);
        Assert.Contains("\"run\": \"two\"", Read(parent.At(FolderLock.FileName)));
    }

    // Owner, what the system says of the lock, and whether the owner is certainly gone.
    [Theory]
    [InlineData("node1", "boot-a", "pid:[1]", "ours", null, "Taken", true)] // one kernel's locks are right
    [InlineData("node1", "boot-a", "pid:[1]", "ours", null, "HeldByAnother", false)]
    [InlineData("node1", "boot-a", "pid:[1]", "ours", null, "Unsupported", false)]
    [InlineData("node1", "boot-a", "pid:[1]", "earlier", null, "Unsupported", true)] // its number was given again
    [InlineData("node1", "boot-a", "pid:[2]", "earlier", null, "Unsupported", false)] // in another container
    [InlineData("pod-7", "boot-a", "pid:[2]", "earlier", null, "Taken", true)] // a container of this machine
    [InlineData("node1", "boot-b", "pid:[1]", "earlier", null, "Taken", true)] // restarted since
    [InlineData("node2", "boot-b", "pid:[1]", "earlier", null, "Taken", false)]
    [InlineData("node2", "boot-b", "pid:[1]", "earlier", "12", "Taken", true)] // Slurm restarted the job here
    [InlineData("node2", "boot-b", "pid:[1]", "earlier", "13", "Taken", false)]
    public void An_owner_is_gone_only_where_that_is_certain(
        string host,
        string boot,
        string space,
        string started,
        string? job,
        string os,
        bool gone
    )
    {
        var self = Self with { SlurmJob = "12", SlurmRestarts = 1 };
        var owner = Self with
        {
            Host = host,
            Boot = boot,
            PidNamespace = space,
            Started = started == "ours" ? Self.Started : "1",
            SlurmJob = job,
        };
        Assert.Equal(gone, owner.FindReasonGone(self, Enum.Parse<OsLockResult>(os), LockOwner.StartOf) is not null);
    }

    private static string Read(string path)
    {
        using var handle = OsLock.OpenToRead(path);
        var bytes = new byte[RandomAccess.GetLength(handle)];
        _ = RandomAccess.Read(handle, bytes, 0);
        return System.Text.Encoding.UTF8.GetString(bytes);
    }
}
