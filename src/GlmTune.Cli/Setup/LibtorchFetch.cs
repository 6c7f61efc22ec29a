using System.IO.Compression;
using System.Security.Cryptography;
using System.Text.Json;
using GlmTune.Files;

namespace GlmTune.Cli.Setup;

/// <summary>Fetches libtorch as a NuGet package, checks its hash and unpacks it.</summary>
/// <param name="client">Sends the requests.</param>
/// <param name="progress">Called with the bytes received and, if known, their total.</param>
internal sealed class LibtorchFetch(HttpClient client, Action<long, long?>? progress = null)
{
    // The list of a source's addresses is some kilobytes long, the packages have 120 MB at most.
    private const int MaxIndexBytes = 1 << 20;
    private const long MaxPackageBytes = 1L << 30;
    private const long MaxUnpackedBytes = 1L << 32;

    /// <summary>As <see cref="RunAsync"/>, from the first of several sources that has the package.</summary>
    /// <param name="package">The package.</param>
    /// <param name="sources">The sources, in order; at least one.</param>
    /// <param name="target">The folder to make.</param>
    /// <param name="stop">Cancels.</param>
    /// <exception cref="InvalidDataException">No source gives the package; the message has the reason of
    /// each.</exception>
    public async Task RunFromFirstAsync(
        LibtorchPackage package,
        IReadOnlyList<string> sources,
        string target,
        CancellationToken stop
    )
    {
        List<string> problems = [];
        foreach (var source in sources)
        {
            try
            {
                await RunAsync(package, source, target, stop).ConfigureAwait(false);
                return;
            }
            catch (Exception error) when (error is InvalidDataException or IOException)
            {
                problems.Add(error.Message);
            }
        }

        throw new InvalidDataException(string.Join('\n', problems));
    }

    /// <summary>Makes the folder of a package: <c>lib</c> with its libraries, and <c>build-version</c>. It appears
    /// complete or not at all.</summary>
    /// <param name="package">The package.</param>
    /// <param name="source">Address of a NuGet source (its <c>index.json</c>), or a folder with the package.</param>
    /// <param name="target">The folder to make.</param>
    /// <param name="stop">Cancels.</param>
    /// <exception cref="InvalidDataException">The source has no such package, or the package has another
    /// hash.</exception>
    /// <exception cref="IOException">The source cannot be reached, or the folder cannot be written.</exception>
    public async Task RunAsync(LibtorchPackage package, string source, string target, CancellationToken stop)
    {
        using var folder = AtomicFolder.Create(target);
        var file = Path.Combine(folder.Path, package.FileName);
        try
        {
            await DownloadAsync(package, source, file, stop).ConfigureAwait(false);
        }
        catch (Exception error) when (error is HttpRequestException or JsonException or UriFormatException)
        {
            throw new IOException(
                $"{source}: the package {package.FileName} cannot be fetched: {error.Message}. Check the network or "
                    + "proxy, name another source with --source (an index.json or a folder with the package), or set "
                    + "GLMTUNE_LIBTORCH to an installed PyTorch.",
                error
            );
        }

        var hash = await HashOfAsync(file, stop).ConfigureAwait(false);
        if (hash != package.Hash)
        {
            throw new InvalidDataException(
                $"{source}: {package.FileName} is not the expected package: its SHA-512 is {hash}; expected "
                    + $"{package.Hash}. Nothing was kept. Try again, or use another source."
            );
        }

        Unpack(file, package, Path.Combine(folder.Path, "lib"));
        Disk.DeleteFile(file);
        AtomicFile.WriteText(Path.Combine(folder.Path, "build-version"), package.Version + "\n");
        folder.Publish();
    }

    private async Task DownloadAsync(LibtorchPackage package, string source, string file, CancellationToken stop)
    {
        await using var output = new DiskFile(file, FileMode.CreateNew);
        if (Directory.Exists(source))
        {
            var local = Path.Combine(source, package.FileName);
            if (!File.Exists(local))
            {
                throw new InvalidDataException($"{source}: has no {package.FileName}.");
            }

            await using var copied = RegularFile.OpenStream(local);
            await CopyAsync(copied, copied.Length, output, stop).ConfigureAwait(false);
            return;
        }

        if (
            !Uri.TryCreate(source, UriKind.Absolute, out var index)
            || index.Scheme != Uri.UriSchemeHttp && index.Scheme != Uri.UriSchemeHttps
        )
        {
            throw new InvalidDataException(
                $"{source}: is neither a folder nor the address of a NuGet source (https://…/index.json)."
            );
        }

        var root = await RootAsync(index, stop).ConfigureAwait(false);
        var address = new Uri(root, $"{package.Id}/{package.Version}/{package.FileName}");
        using var answer = await client
            .GetAsync(address, HttpCompletionOption.ResponseHeadersRead, stop)
            .ConfigureAwait(false);
        answer.EnsureSuccessStatusCode();
        await using var content = await answer.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        await CopyAsync(content, answer.Content.Headers.ContentLength, output, stop).ConfigureAwait(false);
    }

    // Where the source keeps its packages. Source: NuGet's server protocol, "Service index", "Package content".
    private async Task<Uri> RootAsync(Uri index, CancellationToken stop)
    {
        using var answer = await client
            .GetAsync(index, HttpCompletionOption.ResponseHeadersRead, stop)
            .ConfigureAwait(false);
        answer.EnsureSuccessStatusCode();
        await answer.Content.LoadIntoBufferAsync(MaxIndexBytes, stop).ConfigureAwait(false);
        using var json = JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(stop).ConfigureAwait(false));
        if (
            json.RootElement.ValueKind == JsonValueKind.Object
            && json.RootElement.TryGetProperty("resources", out var resources)
            && resources.ValueKind == JsonValueKind.Array
        )
        {
            foreach (var resource in resources.EnumerateArray().Where(each => each.ValueKind == JsonValueKind.Object))
            {
                if (
                    Text(resource, "@type")?.StartsWith("PackageBaseAddress/3", StringComparison.Ordinal) == true
                    && Text(resource, "@id") is { } id
                )
                {
                    return new Uri(index, id.EndsWith('/') ? id : id + "/");
                }
            }
        }

        throw new InvalidDataException($"{index}: is not the index of a NuGet source; it lists no package addresses.");
    }

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private async Task CopyAsync(Stream from, long? total, Stream to, CancellationToken stop)
    {
        var buffer = new byte[1 << 17];
        var done = 0L;
        int count;
        while ((count = await from.ReadAsync(buffer, stop).ConfigureAwait(false)) > 0)
        {
            done += count;
            if (done > MaxPackageBytes)
            {
                throw new InvalidDataException("The package is longer than 1 GiB; it was not kept.");
            }

            await to.WriteAsync(buffer.AsMemory(0, count), stop).ConfigureAwait(false);
            progress?.Invoke(done, total);
        }
    }

    private static async Task<string> HashOfAsync(string file, CancellationToken stop)
    {
        await using var content = RegularFile.OpenStream(file);
        return Convert.ToBase64String(await SHA512.HashDataAsync(content, stop).ConfigureAwait(false));
    }

    private static void Unpack(string file, LibtorchPackage package, string folder)
    {
        Disk.CreateFolder(folder);
        using var zip = ZipFile.OpenRead(file);
        var prefix = $"runtimes/{package.Platform}/native/";
        var entries = zip
            .Entries.Where(entry =>
                entry.FullName.StartsWith(prefix, StringComparison.Ordinal) && entry.FullName == prefix + entry.Name
            )
            .ToList();
        if (entries.Count == 0 || entries.Sum(entry => entry.Length) > MaxUnpackedBytes)
        {
            throw new InvalidDataException($"{package.FileName}: holds no libraries in {prefix}, or too many.");
        }

        foreach (var entry in entries.Where(entry => entry.Name.Length > 0))
        {
            entry.ExtractToFile(Path.Combine(folder, entry.Name));
        }
    }
}
