namespace GlmTune.Weights.Tests;

public sealed class SafetensorsWriterTests
{
    private static readonly TensorSpec A = new("a", ElementType.F32, 2);
    private static readonly TensorSpec B = new("b", ElementType.U8, 3);

    [Fact]
    public void A_file_that_is_not_completed_leaves_nothing()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.At("f"), "old");
        using (var writer = new SafetensorsWriter(folder.At("f"), [A]))
        {
            writer.Write("a", new byte[8]);
        }

        Assert.Equal("old", File.ReadAllText(folder.At("f")));
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_file_is_completed_only_with_all_bytes_of_all_tensors()
    {
        using var folder = new TemporaryFolder();
        using var writer = new SafetensorsWriter(folder.At("f"), [A, B]);
        writer.Write("a", new byte[4]);

        Assert.Contains("a, b", Assert.Throws<InvalidOperationException>(writer.Complete).Message);
        writer.Write("a", new byte[4]);
        writer.Write("b", new byte[3]);
        writer.Complete();
        Assert.Throws<ObjectDisposedException>(() => writer.Write("b", new byte[1]));
    }

    [Fact]
    public void A_tensor_takes_no_more_bytes_than_it_has()
    {
        using var folder = new TemporaryFolder();
        using var writer = new SafetensorsWriter(folder.At("f"), [A]);
        writer.Write("a", new byte[4]);

        Assert.Contains(
            "'a' (F32 [2]) has 8 bytes; 4 are already written, so 5 more do not fit",
            Assert.Throws<ArgumentException>(() => writer.Write("a", new byte[5])).Message
        );
        Assert.Contains(
            "'c' was not declared",
            Assert.Throws<ArgumentException>(() => writer.Write("c", new byte[1])).Message
        );
    }

    [Fact]
    public void A_name_is_declared_once()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains(
            "'a' is declared twice",
            Assert.Throws<ArgumentException>(() => new SafetensorsWriter(folder.At("f"), [A, A])).Message
        );
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public unsafe void A_tensor_travels_from_and_to_an_address()
    {
        using var folder = new TemporaryFolder();
        byte[] source = [1, 2, 3, 4, 5, 6, 7, 8];
        var target = new byte[8];
        fixed (
            byte* from = source,
                to = target
        )
        {
            using (var writer = new SafetensorsWriter(folder.At("f"), [A]))
            {
                writer.Write("a", (nint)from, 8);
                writer.Complete();
            }

            using var file = SafetensorsFile.Open(folder.At("f"));
            file["a"].CopyTo((nint)to, 8);
            Assert.Throws<ArgumentException>(() => file["a"].CopyTo(0, 7));
        }

        Assert.Equal(source, target);
    }

    [Theory]
    [InlineData("")]
    [InlineData("__metadata__")]
    public void Some_names_are_not_for_tensors(string name) =>
        Assert.Throws<ArgumentException>(() => new TensorSpec(name, ElementType.F32, 1));

    [Fact]
    public void A_negative_size_is_refused() =>
        Assert.Throws<ArgumentException>(() => new TensorSpec("a", ElementType.F32, 2, -1));

    [Fact]
    public void A_file_that_cannot_take_its_header_is_closed_and_removed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Writes to Linux's /dev/full.");
        using var folder = new TemporaryFolder();
        File.CreateSymbolicLink(folder.At("w.safetensors.tmp"), "/dev/full");
        Assert.Throws<IOException>(() =>
            new SafetensorsWriter(folder.At("w.safetensors"), [new TensorSpec("a", ElementType.F32, [2])])
        );
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }
}
