using System.Text;

namespace GlmTune.Files.Tests;

/// <summary>Files of others: what is not a regular file is refused at once, and links lead nowhere.</summary>
public sealed class RegularFileTests : IDisposable
{
    // Only reached if the mend is lost: then the call would wait forever.
    private static readonly TimeSpan Never = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_regular_file_is_read_whole_as_bytes_as_text_and_as_a_stream()
    {
        var path = folder.Write("a.txt", "\uFEFF一二");
        Assert.Equal([0xEF, 0xBB, 0xBF, .. Encoding.UTF8.GetBytes("一二")], RegularFile.ReadBytes(path));
        Assert.Equal("一二", RegularFile.ReadText(path));
        using var reader = new StreamReader(RegularFile.OpenStream(path));
        Assert.Equal("一二", reader.ReadToEnd());
        Assert.Empty(RegularFile.ReadBytes(folder.Write("empty", "")));
    }

    [Fact]
    public async Task A_pipe_is_refused_instead_of_waited_for()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no such pipes.");
        var pipe = folder.Pipe("pipe");
        File.CreateSymbolicLink(folder.At("link"), pipe);
        foreach (var path in (string[])[pipe, folder.At("link")])
        {
            var error = await Assert.ThrowsAsync<InvalidDataException>(() =>
                Task.Run(() => RegularFile.ReadBytes(path)).WaitAsync(Never)
            );
            Assert.StartsWith($"{path}: is not a regular file", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_device_has_no_content()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no such devices.");
        Assert.Empty(RegularFile.ReadBytes("/dev/zero"));
    }

    [Fact]
    public void Folders_missing_files_and_files_above_the_limit_are_named()
    {
        Assert.StartsWith(
            $"{folder.Path}: is a folder",
            Assert.Throws<InvalidDataException>(() => RegularFile.ReadBytes(folder.Path)).Message,
            StringComparison.Ordinal
        );
        Assert.Equal(
            folder.At("no"),
            Assert.Throws<FileNotFoundException>(() => RegularFile.ReadBytes(folder.At("no"))).FileName
        );
        var path = folder.Write("large", new string('a', 2049));
        Assert.Equal(2049, RegularFile.ReadBytes(path, 2049).Length);
        Assert.Equal(
            $"{path}: has 2 KiB; files of this kind have at most 2 KiB. Is it the right file?",
            Assert.Throws<InvalidDataException>(() => RegularFile.ReadBytes(path, 2048)).Message
        );
    }

    [Fact]
    public void Below_a_folder_no_link_is_followed()
    {
        var outside = folder.Write("outside.json", "{}");
        folder.Write("runs/a/log.jsonl", "{}");
        File.CreateSymbolicLink(folder.At("runs", "a", "link"), outside);
        File.CreateSymbolicLink(folder.At("runs", "a", "near"), folder.At("runs", "a", "log.jsonl"));
        var root = RegularFile.RealPath(folder.At("runs"));
        using var file = RegularFile.OpenBelow(root, folder.At("runs", "a", "log.jsonl"));
        Assert.Equal("{}"u8.ToArray(), RegularFile.ReadBytes(file, "log"));
        foreach (var name in (string[])["link", "near"])
        {
            Assert.Contains(
                "is a link",
                Assert
                    .Throws<InvalidDataException>(() => RegularFile.OpenBelow(root, folder.At("runs", "a", name)))
                    .Message,
                StringComparison.Ordinal
            );
        }
    }

    [Fact]
    public void Below_a_folder_a_linked_folder_leads_nowhere_but_the_folder_itself_may_be_a_link()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux tells where an open file is.");
        folder.Write("secrets/config.json", "{}");
        folder.Write("runs/a/log.jsonl", "{}");
        Directory.CreateSymbolicLink(folder.At("runs", "b"), folder.At("secrets"));
        Directory.CreateSymbolicLink(folder.At("runs-2"), folder.At("secrets")); // its name begins alike
        Directory.CreateSymbolicLink(folder.At("linked"), folder.At("runs"));
        var root = RegularFile.RealPath(folder.At("linked"));
        Assert.Equal(RegularFile.RealPath(folder.At("runs")), root);
        RegularFile.OpenBelow(root, folder.At("linked", "a", "log.jsonl")).Dispose();
        foreach (var path in (string[])[folder.At("runs", "b", "config.json"), folder.At("runs-2", "config.json")])
        {
            Assert.Contains(
                "leads out of",
                Assert.Throws<InvalidDataException>(() => RegularFile.OpenBelow(root, path)).Message,
                StringComparison.Ordinal
            );
        }
    }
}
