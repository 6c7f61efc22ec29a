using System.Text.Json;
using GlmTune.Hub.Caches;

namespace GlmTune.Hub.Sites;

/// <summary>ModelScope.</summary>
internal sealed class ModelScopeSite(SiteClient client) : IRepositorySite
{
    private const int Success = 200;

    /// <inheritdoc/>
    public string MainRevision => ModelScopeCache.MainRevision;

    /// <inheritdoc/>
    public async Task<HubListing> ListAsync(HubName name, CancellationToken stop)
    {
        var answer = await client
            .ReadJsonAsync($"{Repository(name)}/files?Revision={Revision(name)}&Recursive=true", name, stop)
            .ConfigureAwait(false);
        if (answer.TryGetProperty("Code", out var code) && code.TryGetInt64(out var number) && number != Success)
        {
            var reason = answer.TryGetProperty("Message", out var message) ? $"{message}" : $"code {number}";
            throw new InvalidDataException(
                $"{name}: {client.Access.Host} does not have this model or revision, or refuses it: "
                    + $"{reason.TrimEnd('.')}."
            );
        }

        return
            answer.TryGetProperty("Data", out var data)
            && data.ValueKind == JsonValueKind.Object
            && data.TryGetProperty("Files", out var files)
            && files.ValueKind == JsonValueKind.Array
            ? new HubListing(null, [.. files.EnumerateArray().Where(file => Text(file, "Type") != "tree").Select(Read)])
            : throw new InvalidDataException(
                $"{name}: the answer of {client.Access.Host} has no 'Data.Files'. Is MODELSCOPE_DOMAIN the host of "
                    + "ModelScope?"
            );
    }

    /// <inheritdoc/>
    public Task<HubFile> CompleteAsync(HubName name, HubListing listing, HubFile file, CancellationToken stop) =>
        file is { Size: not null, Hash.IsGit: false }
            ? Task.FromResult(file)
            : throw new InvalidDataException(
                $"{name}: {client.Access.Host} gives no size or no hash for {file.Name}, so it cannot be checked."
            );

    /// <inheritdoc/>
    public Uri AddressOf(HubName name, HubListing listing, HubFile file) =>
        client.Address($"{Repository(name)}?Revision={Revision(name)}&FilePath={Uri.EscapeDataString(file.Name)}");

    private static string Repository(HubName name) => $"/api/v1/models/{name.Id}/repo";

    private string Revision(HubName name) => Uri.EscapeDataString(name.Revision ?? MainRevision);

    private static HubFile Read(JsonElement file) =>
        new(
            Text(file, "Path") ?? "",
            file.ValueKind == JsonValueKind.Object
            && file.TryGetProperty("Size", out var size)
            && size.ValueKind == JsonValueKind.Number
            && size.TryGetInt64(out var bytes)
            && bytes >= 0
                ? bytes
                : null,
            ContentHash.TryParse(Text(file, "Sha256"))
        );

    private static string? Text(JsonElement value, string key) =>
        value.ValueKind == JsonValueKind.Object
        && value.TryGetProperty(key, out var inner)
        && inner.ValueKind == JsonValueKind.String
            ? inner.GetString()
            : null;
}
