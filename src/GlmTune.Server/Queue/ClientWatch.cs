using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;

namespace GlmTune.Server;

/// <summary>Detects a client that disconnects while its request is being answered and unread bytes are pending behind
/// it.</summary>
/// <remarks>The web server stops reading when too much is pending, and then does not see the end of the connection. A
/// client that waits for an answer sends nothing; so if a socket has unread data in two consecutive checks, the client
/// has gone or is flooding, and the connection is cut.</remarks>
internal sealed class ClientWatch : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private readonly Socket? socket;
    private readonly ConnectionAbort abort;
    private readonly ITimer timer;
    private bool wasReadable;

    public ClientWatch(HttpContext context, TimeProvider time)
    {
        socket = context.Features.Get<IConnectionSocketFeature>()?.Socket;
        abort = new ConnectionAbort(context);
        timer = time.CreateTimer(_ => Look(), null, Interval, Interval);
    }

    public void Dispose()
    {
        abort.Forget();
        timer.Dispose();
    }

    private void Look()
    {
        try
        {
            var readable = socket?.Poll(0, SelectMode.SelectRead) == true;
            if (readable && wasReadable)
            {
                abort.Now();
            }

            wasReadable = readable;
        }
        catch (Exception e) when (e is ObjectDisposedException or SocketException)
        {
            // Already closed; the web server informs the request.
        }
    }
}

/// <summary>Cuts the connection of a request, but not that of a later request that reuses the same objects.</summary>
internal sealed class ConnectionAbort(HttpContext context)
{
    private readonly Lock gate = new();
    private HttpContext? request = context;

    public void Now()
    {
        lock (gate)
        {
            request?.Abort();
        }
    }

    public void Forget()
    {
        lock (gate)
        {
            request = null;
        }
    }
}
