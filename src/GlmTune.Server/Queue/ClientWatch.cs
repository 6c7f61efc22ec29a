using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;

namespace GlmTune.Server;

/// <summary>Notices a client that has gone though bytes lie behind its request, while the request is
/// answered.</summary>
/// <remarks>
/// The web server stops to read when too much lies there, and then does not see the end of the connection. A client
/// that waits for its answer sends nothing; so a socket that has something to read at two looks, which the web server
/// leaves lying, is that of a client that has gone, or floods: the connection is cut. </remarks>
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
            // It is closed: the request is told of that by the web server.
        }
    }
}

/// <summary>Cuts a request's connection, but not that of a later request which uses the same objects.</summary>
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
