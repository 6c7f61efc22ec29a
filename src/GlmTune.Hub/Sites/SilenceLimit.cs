namespace GlmTune.Hub.Sites;

/// <summary>Gives up a request that gets no answer.</summary>
internal sealed class SilenceLimit(TimeSpan limit, HttpMessageHandler inner) : DelegatingHandler(inner)
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken stop)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limited.CancelAfter(limit);
        try
        {
            return await base.SendAsync(request, limited.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException error) when (!stop.IsCancellationRequested)
        {
            throw new HttpRequestException($"no answer within {limit.TotalSeconds} s", error);
        }
    }
}
