using System.Net;
using GlmTune.Files;

namespace GlmTune.Hub.Sites;

/// <summary>Address of a site, and the user's token for it.</summary>
/// <param name="Site">Which site.</param>
/// <param name="Endpoint">Its address, without a slash at the end.</param>
/// <param name="Token">The user's token; null: none. It is sent to the endpoint's host only, and never shown.</param>
/// <param name="IsOffline">Whether the user has forbidden downloads.</param>
internal sealed record SiteAccess(ModelSite Site, string Endpoint, string? Token, bool IsOffline)
{
    private static readonly string[] No = ["", "0", "FALSE", "NO", "OFF"];

    /// <summary>What the environment says: <c>HF_ENDPOINT</c>, <c>HF_TOKEN</c> and the token file of the Hub's tools,
    /// <c>HF_HUB_OFFLINE</c>; <c>MODELSCOPE_DOMAIN</c> and <c>MODELSCOPE_API_TOKEN</c>.</summary>
    /// <param name="site">The site.</param>
    /// <param name="variable">Returns the value of an environment variable.</param>
    /// <exception cref="InvalidDataException">An address or a token is not one.</exception>
    public static SiteAccess FromEnvironment(ModelSite site, Func<string, string?> variable)
    {
        var isOffline = IsSet(variable("HF_HUB_OFFLINE")) || IsSet(variable("TRANSFORMERS_OFFLINE"));
        if (site == ModelSite.ModelScope)
        {
            var domain = variable("MODELSCOPE_DOMAIN") is { Length: > 0 } named ? named : "www.modelscope.cn";
            return new SiteAccess(
                site,
                Address(
                    "MODELSCOPE_DOMAIN",
                    domain.Contains("://", StringComparison.Ordinal) ? domain : $"https://{domain}"
                ),
                Checked("MODELSCOPE_API_TOKEN", variable("MODELSCOPE_API_TOKEN")),
                isOffline
            );
        }

        return new SiteAccess(
            site,
            Address(
                "HF_ENDPOINT",
                variable("HF_ENDPOINT") is { Length: > 0 } mirror ? mirror : "https://huggingface.co"
            ),
            IsSet(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN")) ? null : HubToken(variable),
            isOffline
        );
    }

    private static bool IsSet(string? value) => !No.Contains((value ?? "").Trim().ToUpperInvariant());

    private static string Address(string name, string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var address)
        && address.Scheme is "https" or "http"
        && address is { Query.Length: 0, Fragment.Length: 0, UserInfo.Length: 0 }
            ? text.TrimEnd('/')
            : throw new InvalidDataException(
                $"{name} is '{text}'; expected the address of a site, such as https://huggingface.co."
            );

    private static string? HubToken(Func<string, string?> variable)
    {
        foreach (var name in (string[])["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
        {
            if (Checked(name, variable(name)) is { } set)
            {
                return set;
            }
        }

        var home = HomePath.HomeOf(variable);
        string? Under(string name, params string[] inside) =>
            variable(name) is { Length: > 0 } folder ? Path.Combine([HomePath.Expand(folder, home), .. inside]) : null;
        var file =
            Under("HF_TOKEN_PATH")
            ?? Under("HF_HOME", "token")
            ?? Under("XDG_CACHE_HOME", "huggingface", "token")
            ?? (home is null ? null : Path.Combine(home, ".cache", "huggingface", "token"));
        return file is not null && File.Exists(file) ? Checked(file, RegularFile.ReadText(file, 1 << 16)) : null;
    }

    // Its value is never part of a message.
    private static string? Checked(string where, string? text) =>
        text?.Trim() is not { Length: > 0 } token ? null
        : token.All(c => c is > ' ' and <= '~') ? token
        : throw new InvalidDataException(
            $"{where}: is not a token; expected one word of letters and digits. Copy the token again."
        );

    /// <summary>Whether the token may be sent to an address: only to the endpoint's own host, and only encrypted unless
    /// it is this machine.</summary>
    public bool MaySendTokenTo(Uri address)
    {
        var own = new Uri(Endpoint);
        return Token is not null
            && (address.Scheme == Uri.UriSchemeHttps || address.IsLoopback)
            && address.Scheme == own.Scheme
            && address.Port == own.Port
            && string.Equals(address.IdnHost, own.IdnHost, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The site's host, for messages.</summary>
    public string Host => new Uri(Endpoint).Host;

    /// <summary>Without the token.</summary>
    public override string ToString() => $"{Site} at {Endpoint}";

    /// <summary>What to do about an answer that refuses a repository.</summary>
    /// <param name="status">The answer's status.</param>
    /// <param name="code">The site's own name of the error (<c>X-Error-Code</c>); null if it has none.</param>
    /// <param name="name">The repository.</param>
    public string Refusal(HttpStatusCode status, string? code, HubName name)
    {
        var (page, has) = ($"{Endpoint}/{name.Id}", Token is not null);
        var variable = Site == ModelSite.HuggingFace ? "HF_TOKEN" : "MODELSCOPE_API_TOKEN";
        return (status, code) switch
        {
            (_, "GatedRepo") when has =>
                $"{name}: is gated, and your token has no access to it. Accept its terms at {page} with the account of "
                    + "the token.",
            (_, "GatedRepo") =>
                $"{name}: is gated. Accept its terms at {page}, create a token in the settings of your account, and "
                    + $"set {variable} to it.",
            (_, "RevisionNotFound") => $"{name}: {Host} has this model, but no such revision.",
            (HttpStatusCode.NotFound, _) =>
                $"{name}: {Host} has no such model or revision. Check the name; a private model needs a token in "
                    + $"{variable}.",
            (HttpStatusCode.Unauthorized, _) when has =>
                $"{name}: {Host} does not accept the token (401). It may have expired: create another one and set "
                    + $"{variable} to it. If the model is public, check its name.",
            (HttpStatusCode.Unauthorized, _) =>
                $"{name}: {Host} has no such public model (401). Check the name. A private or gated model needs a "
                    + "token: "
                    + $"set {variable} to it.",
            _ => $"{name}: {Host} refuses access (403). Accept the model's terms at {page} if it is gated, and check "
                + $"that the token in {variable} may read it.",
        };
    }
}
