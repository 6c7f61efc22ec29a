using System.Net;
using System.Net.Http.Headers;
using System.Reflection;
using System.Text.Json;
using GlmTune.Files.Json;
using Microsoft.Extensions.Http.Resilience;
using Polly;
using Polly.Retry;

namespace GlmTune.Hub.Sites;

/// <summary>Requests to a site: retried, redirected, and with the token only where it belongs.</summary>
internal sealed class SiteClient : IDisposable
{
    private const int MaxRedirects = 10;
    private const int MaxListBytes = 64 << 20;
    private static readonly string Version = typeof(SiteClient)
        .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
        ?.InformationalVersion
        is { } version
        ? version.Split('+')[0]
        : "0";

    private readonly SiteAccess access;
    private readonly TransferTiming timing;
    private readonly HttpClient client;

    public SiteClient(SiteAccess access, TransferTiming timing)
    {
        (this.access, this.timing) = (access, timing);
        var retries = new ResiliencePipelineBuilder<HttpResponseMessage> { TimeProvider = timing.Clock }
            .AddRetry(
                new HttpRetryStrategyOptions
                {
                    MaxRetryAttempts = timing.Retries,
                    Delay = timing.FirstWait,
                    BackoffType = DelayBackoffType.Exponential,
                    MaxDelay = timing.LongestWait,
                    ShouldHandle = arguments => ValueTask.FromResult(MayRetry(arguments)),
                }
            )
            .Build();
        client = new HttpClient(
            new ResilienceHandler(retries)
            {
                // Redirects are followed here, so that the token stays with its host.
                InnerHandler = new SilenceLimit(
                    timing.Silence,
                    new SocketsHttpHandler
                    {
                        AllowAutoRedirect = false,
                        UseCookies = false,
                        AutomaticDecompression = DecompressionMethods.None,
                        PooledConnectionLifetime = TimeSpan.FromMinutes(10),
                    }
                ),
            }
        )
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>The site.</summary>
    public SiteAccess Access => access;

    public void Dispose() => client.Dispose();

    /// <summary>Requests a JSON object.</summary>
    /// <param name="path">Path and query below the endpoint.</param>
    /// <param name="name">The repository, for messages.</param>
    /// <param name="stop">Cancels the request.</param>
    /// <exception cref="InvalidDataException">The site refuses it, or the answer is not a JSON object.</exception>
    /// <exception cref="IOException">The site cannot be reached, or breaks off.</exception>
    public async Task<JsonElement> ReadJsonAsync(string path, HubName name, CancellationToken stop)
    {
        using var response = await SendAsync(HttpMethod.Get, Address(path), null, stop).ConfigureAwait(false);
        Check(response, name);
        try
        {
            using var content = new MemoryStream();
            var stream = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
            await using (stream.ConfigureAwait(false))
            {
                var buffer = new byte[1 << 16];
                for (
                    int read;
                    (
                        read = await stream
                            .ReadAsync(buffer, stop)
                            .AsTask()
                            .WaitAsync(timing.Silence, stop)
                            .ConfigureAwait(false)
                    ) > 0;

                )
                {
                    content.Write(buffer, 0, read);
                    if (content.Length > MaxListBytes)
                    {
                        throw new InvalidDataException($"{name}: {access.Host} sends a file list of over 64 MiB.");
                    }
                }
            }

            return JsonFile.Parse(content.ToArray(), $"{name}: file list of {access.Host}", JsonValueKind.Object);
        }
        catch (Exception error) when (error is HttpRequestException or HttpIOException or TimeoutException)
        {
            throw Unreachable(error);
        }
    }

    /// <summary>Sends a request, follows redirects, and returns the last answer whatever its status.</summary>
    /// <param name="method">GET or HEAD.</param>
    /// <param name="address">The address.</param>
    /// <param name="from">First byte that is wanted; null: the whole file.</param>
    /// <param name="stop">Cancels the request.</param>
    /// <param name="leavesHost">Whether redirects to other hosts are followed; otherwise the redirect is
    /// returned.</param>
    /// <exception cref="IOException">No server answers.</exception>
    /// <exception cref="InvalidDataException">A redirect leads nowhere.</exception>
    public async Task<HttpResponseMessage> SendAsync(
        HttpMethod method,
        Uri address,
        long? from,
        CancellationToken stop,
        bool leavesHost = true
    )
    {
        for (var redirects = 0; ; redirects++)
        {
            var response = await SendOnceAsync(method, address, from, stop).ConfigureAwait(false);
            if ((int)response.StatusCode is not (301 or 302 or 303 or 307 or 308))
            {
                return response;
            }

            var next = response.Headers.Location is { } location ? new Uri(address, location) : null;
            if (!leavesHost && next is not null && next.Authority != address.Authority)
            {
                return response;
            }

            response.Dispose();
            if (
                next is null
                || redirects == MaxRedirects
                || next.Scheme is not ("https" or "http")
                || (address.Scheme == "https" && next.Scheme != "https")
            )
            {
                throw new InvalidDataException(
                    next is null || redirects == MaxRedirects
                        ? $"{address.Host}: redirects without end, or to nowhere."
                        : $"{address.Host}: redirects to an unencrypted address, which is not followed."
                );
            }

            address = next;
        }
    }

    /// <summary>An absolute address below the endpoint.</summary>
    public Uri Address(string path) => new($"{access.Endpoint}{path}");

    /// <summary>Throws what helps if an answer is not a success.</summary>
    /// <exception cref="InvalidDataException">The site refuses access, or does not have it.</exception>
    /// <exception cref="IOException">The site has failed.</exception>
    public void Check(HttpResponseMessage response, HubName name)
    {
        if (response.IsSuccessStatusCode)
        {
            return;
        }

        var code = response.Headers.TryGetValues("X-Error-Code", out var codes) ? codes.FirstOrDefault() : null;
        throw (int)response.StatusCode switch
        {
            401 or 403 or 404 => new InvalidDataException(access.Refusal(response.StatusCode, code, name)),
            429 when WaitOf(response) is { } wait => new IOException(
                $"{name}: {access.Host} asks to wait {Math.Ceiling(wait.TotalSeconds)} s: too many requests (429). "
                    + "Run the "
                    + "command again then; a token raises the limit."
            ),
            429 => new IOException(
                $"{name}: {access.Host} answers 429 (too many requests). Run the command again later; a token raises "
                    + "the "
                    + "limit."
            ),
            var status => new IOException(
                $"{name}: {access.Host} answers {status}{(code is null ? "" : $" ({code})")}. What was downloaded is "
                    + "kept: "
                    + "run the command again later."
            ),
        };
    }

    /// <summary>The exception for a site that did not answer, or broke off.</summary>
    public IOException Unreachable(Exception error) =>
        new(
            $"{access.Host}: cannot be reached ({Innermost(error).Message.TrimEnd('.')}). Check the network and "
                + "HTTPS_PROXY, set HF_ENDPOINT to a mirror, or choose another site with --from. What was downloaded "
                + "is "
                + "kept.",
            error
        );

    private async Task<HttpResponseMessage> SendOnceAsync(
        HttpMethod method,
        Uri address,
        long? from,
        CancellationToken stop
    )
    {
        using var request = new HttpRequestMessage(method, address);
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("glmtune", Version));
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        request.Headers.Range = from is { } first ? new RangeHeaderValue(first, null) : null;
        if (access.MaySendTokenTo(address))
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", access.Token);
            if (access.Site == ModelSite.ModelScope)
            {
                request.Headers.TryAddWithoutValidation("Cookie", $"m_session_id={access.Token}");
            }
        }

        try
        {
            return await client
                .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop)
                .ConfigureAwait(false);
        }
        catch (Exception error) when (error is HttpRequestException or HttpIOException)
        {
            throw Unreachable(error);
        }
    }

    private bool MayRetry(RetryPredicateArguments<HttpResponseMessage> arguments) =>
        !arguments.Context.CancellationToken.IsCancellationRequested
        && HttpClientResiliencePredicates.IsTransient(arguments.Outcome)
        && !(arguments.Outcome.Result is { } response && WaitOf(response) > timing.LongestWait);

    private TimeSpan? WaitOf(HttpResponseMessage response) =>
        response.Headers.RetryAfter switch
        {
            { Delta: { } wait } => wait,
            { Date: { } date } => date - timing.Clock.GetUtcNow(),
            _ => null,
        };

    // Of a cancelled wait, the reason is outside.
    private static Exception Innermost(Exception error) =>
        error.InnerException is { } inner and not OperationCanceledException ? Innermost(inner) : error;
}
