using System.Text.RegularExpressions;
using GlmTune.Kernels.Native;
using Xunit;

namespace GlmTune.Kernels.Tests.Native;

/// <summary>Libraries are judged by their files, with those of the build as examples.</summary>
public sealed partial class LibtorchCheckTests : IDisposable
{
    private static readonly string Native = NativeRuntime.Load().Folder;
    private static readonly string Bridge = Path.Combine(
        AppContext.BaseDirectory,
        "runtimes/linux-x64/native/libLibTorchSharp.so"
    );
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void The_libtorch_of_the_build_has_every_function_that_is_called() =>
        Assert.Null(Check(Native, new Version(2, 10, 0)));

    [Fact]
    public void Functions_are_looked_up_in_the_file()
    {
        SkipElsewhere();
        using var library = ElfLibrary.Open(Path.Combine(Native, "libtorch_cpu.so"));
        Assert.Equal(62, library.Machine);
        Assert.True(library.Exports("torch_call_dispatcher"));
        Assert.True(library.Exports("aoti_torch_abi_version"));
        Assert.False(library.Exports("torch_call_dispatche"));
        Assert.False(library.Exports("torch_call_dispatcher_"));
        Assert.False(library.Exports(""));
        Assert.Contains("libc10.so", library.Needed);
        Assert.Contains("$ORIGIN", library.RunPath);
        using var bridge = ElfLibrary.Open(Bridge);
        var needed = bridge.Undefined().ToList();
        Assert.InRange(needed.Count, 500, 10_000);
        Assert.Contains(needed, name => name.StartsWith("_ZN2at", StringComparison.Ordinal));
    }

    [Fact]
    public void The_list_of_functions_is_that_of_the_code() =>
        Assert.Equal(
            Name()
                .Matches(File.ReadAllText(GoldenData.Path("../../src/GlmTune.Kernels/Dispatch/AtenShim.cs")))
                .Select(match => match.Value.Trim('"'))
                .Order(StringComparer.Ordinal),
            LibtorchCheck.Functions.Order(StringComparer.Ordinal)
        );

    [Fact]
    public void An_old_release_is_refused_by_its_version_file() =>
        Assert.Equal("is PyTorch 2.4.1; GlmTune needs 2.10 or newer", Check(Native, new Version(2, 4, 1)));

    [Fact]
    public void A_library_without_the_functions_is_refused_though_no_file_tells_its_release()
    {
        SkipElsewhere();
        Fill(name => File.Copy(Path.Combine(Native, "libc10.so"), name));
        var problem = Check(folder.Path, null);
        Assert.StartsWith(
            "is of another release than GlmTune needs (2.10 or newer): ",
            problem,
            StringComparison.Ordinal
        );
        Assert.EndsWith("functions are missing, such as torch_call_dispatcher", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_libraries_are_named()
    {
        folder.Write(LibtorchCheck.FileOf("c10"), "");
        Assert.Equal(
            $"has no {LibtorchCheck.FileOf("torch_cpu")}, {LibtorchCheck.FileOf("torch")}",
            Check(folder.Path, null)
        );
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(64)]
    [InlineData(4096)]
    [InlineData(1 << 19)]
    public void A_cut_library_is_refused(int length)
    {
        SkipElsewhere();
        var bytes = File.ReadAllBytes(Path.Combine(Native, "libc10.so"))[..length];
        Fill(name => File.WriteAllBytes(name, bytes));
        Assert.NotNull(Check(folder.Path, null));
    }

    [Fact]
    public void Text_in_place_of_a_library_is_refused()
    {
        SkipElsewhere();
        Fill(name => File.WriteAllText(name, new string('x', 10_000)));
        Assert.EndsWith("is not a 64-bit ELF library.", Check(folder.Path, null), StringComparison.Ordinal);
    }

    [Fact]
    public void A_library_for_another_processor_is_refused()
    {
        SkipElsewhere();
        var bytes = File.ReadAllBytes(Path.Combine(Native, "libc10.so"));
        bytes[0x12] = 243;
        Fill(name => File.WriteAllBytes(name, bytes));
        Assert.Equal("is for another processor (ELF machine 243; this one is 62)", Check(folder.Path, null));
    }

    [Fact]
    public void Damaged_bytes_are_refused_or_change_nothing()
    {
        SkipElsewhere();
        var whole = File.ReadAllBytes(Path.Combine(Native, "libc10.so"));
        var random = new Random(5);
        for (var i = 0; i < 200; i++)
        {
            var bytes = whole[..(1 << 17)];
            for (var j = 0; j < 8; j++)
            {
                bytes[random.Next(random.Next(4, bytes.Length))] = (byte)random.Next(256);
            }

            File.WriteAllBytes(folder.At("libc10.so"), bytes);
            try
            {
                using var library = ElfLibrary.Open(folder.At("libc10.so"));
                _ = library.HasTable && library.Exports("_ZN3c105ErrorD1Ev");
                _ = library.HasTable ? library.Undefined().Take(10_000).Count() : 0;
                _ = library.Needed.Concat(library.RunPath).Count();
            }
            catch (InvalidDataException)
            {
                // Told, as it should be.
            }
        }
    }

    private static void SkipElsewhere() =>
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Libraries are read from their files on Linux alone.");

    private static string? Check(string path, Version? version) =>
        LibtorchCheck.FindProblem(path, version, File.Exists(Bridge) ? Bridge : null, needsCuda: true);

    private void Fill(Action<string> write) => Array.ForEach(LibtorchCheck.Libraries, name => write(folder.At(name)));

    [GeneratedRegex("\"(aoti_)?torch_[a-z_]+_[a-z_]+\"")]
    private static partial Regex Name();
}
