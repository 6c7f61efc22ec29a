using System.IO.Compression;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace GlmTune.Cli.Setup;

public sealed class LibtorchFetchTests : IAsyncLifetime
{
    private readonly TemporaryFolder folder = new();
    private readonly WebApplication feed = Feed();
    private readonly byte[] package = Package(
        ("runtimes/linux-x64/native/libtorch_cpu.so", "torch"),
        ("runtimes/linux-x64/native/libc10.so", "c10"),
        ("runtimes/linux-x64/native/../../../../escaped", "no"),
        ("runtimes/win-x64/native/torch_cpu.dll", "other"),
        ("lib/readme.txt", "text")
    );
    private byte[] served = [];
    private string index = """{"resources": [{"@type": "PackageBaseAddress/3.0.0", "@id": "/flat/"}]}""";
    private string target = "";

    private string Source => $"{feed.Urls.First()}/v3/index.json";

    private LibtorchPackage Wanted =>
        new("libtorch-x", "2.10.0", "linux-x64", Convert.ToBase64String(SHA512.HashData(package)));

    public async ValueTask InitializeAsync()
    {
        (served, target) = (package, folder.At("cache", "cpu-2.10.0"));
        feed.MapGet("/v3/index.json", () => Results.Text(index, "application/json"));
        feed.MapGet("/flat/libtorch-x/2.10.0/libtorch-x.2.10.0.nupkg", () => Results.Bytes(served));
        await feed.StartAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await feed.DisposeAsync();
        folder.Dispose();
    }

    [Fact]
    public async Task The_libraries_of_the_platform_are_unpacked_with_their_release()
    {
        var seen = 0L;
        await Fetch(Source, (done, total) => (seen, _) = (done, Assert.NotNull(total)));
        Assert.Equal(package.Length, seen);
        Assert.Equal(
            ["libc10.so", "libtorch_cpu.so"],
            Directory.EnumerateFiles(Path.Combine(target, "lib")).Select(Path.GetFileName).Order(StringComparer.Ordinal)
        );
        Assert.Equal("torch", File.ReadAllText(Path.Combine(target, "lib", "libtorch_cpu.so")));
        Assert.Equal("2.10.0\n", File.ReadAllText(Path.Combine(target, "build-version")));
        Assert.Equal([target], Directory.EnumerateFileSystemEntries(folder.At("cache")));
    }

    [Fact]
    public async Task A_folder_is_a_source_too()
    {
        File.WriteAllBytes(folder.At("libtorch-x.2.10.0.nupkg"), package);
        await Fetch(folder.Path);
        Assert.True(File.Exists(Path.Combine(target, "lib", "libc10.so")));
    }

    [Theory]
    [InlineData("changed", "is not the expected package")]
    [InlineData("cut", "is not the expected package")]
    [InlineData("no addresses", "is not the index of a NuGet source")]
    [InlineData("list", "is not the index of a NuGet source")]
    [InlineData("no JSON", "cannot be fetched")]
    [InlineData("elsewhere", "cannot be fetched: Response status code does not indicate success: 404")]
    [InlineData("folder", "has no libtorch-x.2.10.0.nupkg")]
    [InlineData("text", "is neither a folder nor the address of a NuGet source")]
    public async Task Whatever_fails_is_told_and_leaves_nothing(string fault, string expected)
    {
        served =
            fault == "changed" ? [.. package[..^1], (byte)(package[^1] ^ 1)]
            : fault == "cut" ? package[..^9]
            : package;
        index = fault switch
        {
            "no addresses" => """{"resources": [{"@type": "SearchQueryService", "@id": "/flat/"}, 3]}""",
            "list" => "[1]",
            "no JSON" => "<html>",
            "elsewhere" => index.Replace("flat", "nowhere", StringComparison.Ordinal),
            _ => index,
        };
        var source = fault switch
        {
            "folder" => Directory.CreateDirectory(folder.At("empty")).FullName,
            "text" => "nuget",
            _ => Source,
        };
        var error = await Record.ExceptionAsync(() => Fetch(source));
        Assert.True(error is InvalidDataException or IOException, $"{error}");
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.At("cache")));
    }

    [Fact]
    public async Task The_first_source_that_has_the_package_gives_it()
    {
        var empty = Directory.CreateDirectory(folder.At("empty")).FullName;
        await FetchFromFirst(empty, Source, "nowhere");
        Assert.True(File.Exists(Path.Combine(target, "lib", "libc10.so")));
    }

    [Fact]
    public async Task Where_no_source_has_it_the_reason_of_each_is_told()
    {
        var empty = Directory.CreateDirectory(folder.At("empty")).FullName;
        var error = await Assert.ThrowsAsync<InvalidDataException>(() => FetchFromFirst(empty, "nowhere"));
        Assert.Contains($"{empty}: has no libtorch-x.2.10.0.nupkg", error.Message, StringComparison.Ordinal);
        Assert.Contains("nowhere: is neither a folder", error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.At("cache")));
    }

    [Fact]
    public void Every_supported_platform_has_a_whole_hash() =>
        Assert.Equal(64, Convert.FromBase64String(LibtorchPackage.ForCpu().Hash).Length);

    private async Task Fetch(string source, Action<long, long?>? progress = null)
    {
        using var client = new HttpClient();
        await new LibtorchFetch(client, progress).RunAsync(
            Wanted,
            source,
            target,
            TestContext.Current.CancellationToken
        );
    }

    private async Task FetchFromFirst(params string[] sources)
    {
        using var client = new HttpClient();
        await new LibtorchFetch(client).RunFromFirstAsync(
            Wanted,
            sources,
            target,
            TestContext.Current.CancellationToken
        );
    }

    private static WebApplication Feed()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        return builder.Build();
    }

    private static byte[] Package(params (string Name, string Text)[] files)
    {
        using var bytes = new MemoryStream();
        using (var zip = new ZipArchive(bytes, ZipArchiveMode.Create))
        {
            foreach (var (name, text) in files)
            {
                using var writer = new StreamWriter(zip.CreateEntry(name).Open());
                writer.Write(text);
            }
        }

        return bytes.ToArray();
    }
}
