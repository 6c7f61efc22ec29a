using System.Text.Json;
using GlmTune.Hub.Caches;

namespace GlmTune.Hub.Sites;

/// <summary>The Hugging Face Hub and its mirrors.</summary>
internal sealed class HuggingFaceSite(SiteClient client) : IRepositorySite
{
    private const int CommitDigits = 40;

    /// <inheritdoc/>
    public string MainRevision => HubCache.MainRevision;

    /// <inheritdoc/>
    public async Task<HubListing> ListAsync(HubName name, CancellationToken stop)
    {
        var revision = Uri.EscapeDataString(name.Revision ?? MainRevision);
        var answer = await client
            .ReadJsonAsync($"/api/models/{name.Id}/revision/{revision}?blobs=true", name, stop)
            .ConfigureAwait(false);
        var commit = Text(answer, "sha")?.ToLowerInvariant();
        if (
            commit is not { Length: CommitDigits }
            || !commit.All(char.IsAsciiHexDigit)
            || !answer.TryGetProperty("siblings", out var files)
            || files.ValueKind != JsonValueKind.Array
        )
        {
            throw new InvalidDataException(
                $"{name}: the answer of {client.Access.Host} has no 'sha' or no 'siblings'. Is HF_ENDPOINT the address "
                    + "of a Hub?"
            );
        }

        return new HubListing(commit, [.. files.EnumerateArray().Select(Read)]);
    }

    /// <inheritdoc/>
    public async Task<HubFile> CompleteAsync(HubName name, HubListing listing, HubFile file, CancellationToken stop)
    {
        if (file is { Size: not null, Hash: not null })
        {
            return file;
        }

        using var response = await client
            .SendAsync(HttpMethod.Head, AddressOf(name, listing, file), null, stop, leavesHost: false)
            .ConfigureAwait(false);
        if ((int)response.StatusCode is not (>= 300 and < 400))
        {
            client.Check(response, name);
        }

        string? Header(string header) =>
            response.Headers.TryGetValues(header, out var values) ? values.FirstOrDefault() : null;
        var size = long.TryParse(Header("X-Linked-Size"), out var linked)
            ? linked
            : response.Content.Headers.ContentLength;
        var hash = ContentHash.TryParse(Header("X-Linked-ETag") ?? response.Headers.ETag?.Tag);
        return size is null || hash is null
            ? throw new InvalidDataException(
                $"{name}: {client.Access.Host} gives no size or no hash for {file.Name}, so it cannot be checked."
            )
            : file with
            {
                Size = size,
                Hash = hash,
            };
    }

    /// <inheritdoc/>
    public Uri AddressOf(HubName name, HubListing listing, HubFile file) =>
        client.Address($"/{name.Id}/resolve/{listing.Commit}/{Uri.EscapeDataString(file.Name)}");

    private static HubFile Read(JsonElement file)
    {
        var large = Object(file, "lfs");
        return new HubFile(
            Text(file, "rfilename") ?? "",
            Number(large, "size") ?? Number(file, "size"),
            ContentHash.TryParse(large is null ? Text(file, "blobId") : Text(large, "sha256") ?? Text(large, "oid"))
        );
    }

    private static JsonElement? Object(JsonElement? value, string key) =>
        value is { ValueKind: JsonValueKind.Object } holder
        && holder.TryGetProperty(key, out var inner)
        && inner.ValueKind == JsonValueKind.Object
            ? inner
            : null;

    private static string? Text(JsonElement? value, string key) =>
        value is { ValueKind: JsonValueKind.Object } holder
        && holder.TryGetProperty(key, out var inner)
        && inner.ValueKind == JsonValueKind.String
            ? inner.GetString()
            : null;

    private static long? Number(JsonElement? value, string key) =>
        value is { ValueKind: JsonValueKind.Object } holder
        && holder.TryGetProperty(key, out var inner)
        && inner.ValueKind == JsonValueKind.Number
        && inner.TryGetInt64(out var number)
        && number >= 0
            ? number
            : null;
}
