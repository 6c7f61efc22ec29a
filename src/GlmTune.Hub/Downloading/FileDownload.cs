using GlmTune.Files;
using GlmTune.Hub.Sites;

namespace GlmTune.Hub.Downloading;

/// <summary>Downloads one file: continues what was begun, checks size and hash, and gives it its name only
/// then.</summary>
/// <param name="client">The site.</param>
/// <param name="timing">How long to wait.</param>
/// <param name="name">The repository, for messages.</param>
/// <param name="file">The file, with size and hash.</param>
/// <param name="store">Where it is put.</param>
/// <param name="counter">Counts the bytes.</param>
/// <param name="note">Called with notes for the user.</param>
internal sealed class FileDownload(
    SiteClient client,
    TransferTiming timing,
    HubName name,
    HubFile file,
    ModelStore store,
    TransferCounter counter,
    Action<string> note
)
{
    private static readonly TimeSpan LockInterval = TimeSpan.FromMilliseconds(200);
    private readonly long size = file.Size!.Value;
    private long have;
    private bool ranged = true;

    /// <summary>Downloads the file, unless it is here.</summary>
    /// <param name="address">Its address.</param>
    /// <param name="stop">Cancels the download; what was received is kept.</param>
    /// <exception cref="InvalidDataException">The site refuses it, or sends something else.</exception>
    /// <exception cref="IOException">The site cannot be reached, or the disk is full.</exception>
    public async Task RunAsync(Uri address, CancellationToken stop)
    {
        using var held = await LockAsync(stop).ConfigureAwait(false);
        if (store.Has(file))
        {
            counter.Keep(size);
            return;
        }

        var part = store.OpenPart(file);
        await using (part.ConfigureAwait(false))
        {
            await FillAsync(part, address, stop).ConfigureAwait(false);
        }

        store.Complete(file);
    }

    private async Task FillAsync(Stream part, Uri address, CancellationToken stop)
    {
        var hash = file.Hash!.Start(size);
        try
        {
            var resumed = part.Length > 0;
            if (part.Length > size)
            {
                part.SetLength(0);
            }

            have = ContentHash.Append(part, hash);
            counter.Keep(have);
            for (var failures = 0; ;)
            {
                if (have == size)
                {
                    if (file.Hash!.Matches(hash))
                    {
                        return;
                    }

                    Restart();
                    // The beginning may be from another version.
                    if (!resumed)
                    {
                        throw new InvalidDataException(
                            $"{name}: {file.Name}: the content that {client.Access.Host} sends does not have the "
                                + "listed "
                                + "hash. It was deleted. Run the command again; if it happens again, the site or a "
                                + "proxy "
                                + "on the way changes the file."
                        );
                    }

                    resumed = false;
                }

                var before = have;
                try
                {
                    await FetchAsync().ConfigureAwait(false);
                }
                catch (BrokenTransferException error)
                {
                    failures = have > before ? 1 : failures + 1;
                    if (failures > timing.Retries)
                    {
                        throw client.Unreachable(error.InnerException ?? error);
                    }

                    await Task.Delay(timing.FirstWait * Math.Pow(2, failures - 1), timing.Clock, stop)
                        .ConfigureAwait(false);
                }
            }
        }
        finally
        {
            hash.Dispose();
        }

        void Restart()
        {
            counter.Keep(-have);
            have = 0;
            part.SetLength(0);
            hash.Dispose();
            hash = file.Hash!.Start(size);
        }

        // Appends what the server sends from here on.
        async Task FetchAsync()
        {
            var from = have > 0 && ranged ? have : (long?)null;
            if (from is null && have > 0)
            {
                Restart();
            }

            using var response = await client.SendAsync(HttpMethod.Get, address, from, stop).ConfigureAwait(false);
            var range = response.Content.Headers.ContentRange;
            switch ((int)response.StatusCode)
            {
                case 206 when range is { Unit: "bytes" } && range.From == have && (range.Length ?? size) == size:
                case 200 when have == 0:
                    break;
                case 200:
                    Restart();
                    break;
                case 206:
                case 416:
                    // The server does not do ranges as it should: from now on, the whole file is requested.
                    Restart();
                    ranged = false;
                    throw new BrokenTransferException(
                        new IOException($"{address.Host} answered {(int)response.StatusCode} to a request for a range")
                    );
                default:
                    client.Check(response, name);
                    throw new IOException(
                        $"{name}: {file.Name}: {address.Host} answers {(int)response.StatusCode}; expected the file."
                    );
            }

            if (response.Content.Headers.ContentLength is { } length && have + length != size)
            {
                throw WrongSize(have + length);
            }

            await CopyAsync(response).ConfigureAwait(false);
        }

        async Task CopyAsync(HttpResponseMessage response)
        {
            var buffer = new byte[1 << 20];
            part.Position = have;
            try
            {
                var body = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
                await using (body.ConfigureAwait(false))
                {
                    while (await ReadAsync(body).ConfigureAwait(false) is > 0 and var read)
                    {
                        if (have + read > size)
                        {
                            Restart();
                            throw WrongSize(size + 1);
                        }

                        await WriteAsync(buffer.AsMemory(0, read)).ConfigureAwait(false);
                        hash.AppendData(buffer, 0, read);
                        have += read;
                        counter.Receive(read);
                    }
                }
            }
            catch (Exception error) when (error is HttpRequestException or HttpIOException or TimeoutException)
            {
                throw new BrokenTransferException(error);
            }

            if (have < size)
            {
                throw new BrokenTransferException(
                    new IOException($"the connection ended after {have} of {size} bytes of {file.Name}")
                );
            }

            async Task<int> ReadAsync(Stream body)
            {
                try
                {
                    return await body.ReadAsync(buffer, stop)
                        .AsTask()
                        .WaitAsync(timing.Silence, stop)
                        .ConfigureAwait(false);
                }
                catch (IOException error)
                {
                    throw new BrokenTransferException(error);
                }
            }
        }

        async Task WriteAsync(ReadOnlyMemory<byte> bytes)
        {
            try
            {
                await part.WriteAsync(bytes, stop).ConfigureAwait(false);
            }
            catch (IOException error)
            {
                throw new IOException(
                    $"{store.PartOf(file)}: cannot be written: {error.Message.TrimEnd('.')}. What was downloaded is "
                        + "kept: "
                        + "free some space, or choose another folder with HF_HOME, and run the command again.",
                    error
                );
            }
        }
    }

    private InvalidDataException WrongSize(long found) =>
        new(
            found > size
                ? $"{name}: {file.Name}: {client.Access.Host} sends more than the {size} bytes that it lists. Run the "
                    + "command again: the repository may have changed meanwhile."
                : $"{name}: {file.Name}: {client.Access.Host} sends {found} bytes, but lists {size}. Run the command "
                    + "again: the repository may have changed meanwhile."
        );

    // Python's tools lock the same file, so two downloads of a model share the work.
    private async Task<IDisposable?> LockAsync(CancellationToken stop)
    {
        for (var told = false; ;)
        {
            var (result, handle) = OsLock.OfFile(store.LockOf(file));
            if (result != OsLockResult.HeldByAnother)
            {
                return handle;
            }

            if (!told)
            {
                note($"another process is downloading {file.Name} of {name}; waiting for it");
                told = true;
            }

            await Task.Delay(LockInterval, timing.Clock, stop).ConfigureAwait(false);
        }
    }

    // Worth another attempt from where it broke off.
    private sealed class BrokenTransferException(Exception reason) : Exception(reason.Message, reason);
}
