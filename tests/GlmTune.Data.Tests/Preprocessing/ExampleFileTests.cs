using System.IO.Hashing;
using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Preprocessing;

public class ExampleFileTests
{
    private static readonly TokenizedExample[] Examples =
    [
        Example([1, 2, 3], [(1, 3)], 1),
        Example([4], [], 2),
        Example([.. Enumerable.Range(0, 600_000)], [(1, 2), (5, 600_000)], 3), // larger than a block
        Example([7, 8], [(1, 2)], 4),
    ];

    [Fact]
    public void Every_example_comes_back()
    {
        using var folder = new TemporaryFolder();
        using var file = ExampleFile.Open(Write(folder))!;
        Assert.Equal([3, 1, 600_000, 2], file.Tokens);
        Assert.Equal([9], file.Report);
        foreach (var (i, example) in Examples.Index())
        {
            Assert.Equal(example.TokenIds, file[i].TokenIds);
            Assert.Equal(example.Supervised, file[i].Supervised);
            Assert.Equal(
                (example.Line, example.FullLength, example.LostItsEnd),
                (file[i].Line, file[i].FullLength, file[i].LostItsEnd)
            );
            Assert.Equal(example.SupervisedTokens, file.SupervisedTokensOf(i));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => file[4]);
        Assert.Throws<ArgumentOutOfRangeException>(() => file[-1]);
    }

    [Fact]
    public void Numbers_that_make_no_sense_are_errors_even_under_a_right_hash()
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder);
        var whole = File.ReadAllBytes(path);
        var index = whole.Length - Footer.Size - 1 - (Examples.Length * IndexEntry.Size);
        foreach (var at in (int[])[index + 7, index + 16, index + 23, 15, 16, 33])
        {
            var changed = whole.ToArray();
            changed[at] ^= 0xFF;
            XxHash128.Hash(changed.AsSpan(..^Footer.HashSize)).CopyTo(changed, whole.Length - Footer.HashSize);
            File.WriteAllBytes(path, changed);
            using var file = ExampleFile.Open(path)!;
            Assert.ThrowsAny<InvalidDataException>(() => file.Select(example => example.TokenIds.Length).Sum());
        }
    }

    [Fact]
    public void A_file_that_is_cut_while_it_is_open_is_an_error()
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder);
        using var file = ExampleFile.Open(path)!;
        using (var open = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            open.SetLength(100);
        }

        var error = Assert.Throws<InvalidDataException>(() => file[3]);
        Assert.Contains("was changed while this run reads", error.Message, StringComparison.Ordinal);
    }

    private static string Write(TemporaryFolder folder)
    {
        var path = folder.At("a.rows");
        using var stream = File.Create(path);
        var writer = new ExampleFileWriter(stream);
        Array.ForEach(Examples, writer.Add);
        writer.Finish([9]);
        return path;
    }

    private static TokenizedExample Example(int[] ids, (int, int)[] supervised, int line) =>
        new(ids, supervised)
        {
            Line = line,
            FullLength = ids.Length + line,
            LostItsEnd = line % 2 == 0,
        };
}
