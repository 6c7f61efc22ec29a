using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace GlmTune.Server;

/// <summary>An ASP.NET Core application with what all our pages and endpoints need: address, guards, JSON errors,
/// log.</summary>
/// <remarks>It reads no configuration files and no environment variables, so it does exactly what its options say.
/// Endpoints require a key (if keys are configured) unless they are mapped with
/// <see cref="ApiKeyGuard.AllowWithoutKey"/>.</remarks>
internal static class ServerApp
{
    // Bytes of a connection that are read before the application asks for them.
    private const long RequestBufferBytes = 256 << 10;

    // Clients that read a response more slowly are disconnected.
    private const double BytesReadASecond = 1024;

    private static readonly TimeSpan TimeToSayWhy = TimeSpan.FromSeconds(2);

    /// <summary>Creates the application; the caller starts, stops and disposes it.</summary>
    /// <param name="options">Address, access rules and limits.</param>
    /// <param name="addServices">Adds services for the endpoints.</param>
    /// <param name="map">Maps endpoints.</param>
    /// <exception cref="InvalidDataException">The host is not an address.</exception>
    public static WebApplication Create(
        ServerOptions options,
        Action<IServiceCollection>? addServices,
        Action<WebApplication> map
    )
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(map);
        // A line ends with both characters: a proxy that reads a bare line feed otherwise would see other requests.
        AppContext.SetSwitch("Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators", true);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "glmtune" });
        builder
            .WebHost.UseKestrelCore()
            .ConfigureKestrel(kestrel =>
            {
                kestrel.AddServerHeader = false;
                kestrel.Limits.MaxRequestBufferSize = RequestBufferBytes;
                kestrel.Limits.MinResponseDataRate = new MinDataRate(BytesReadASecond, TimeSpan.FromSeconds(10));
                kestrel.Limits.MaxRequestBodySize = options.Limits.BodyBytes;
                kestrel.Limits.MaxConcurrentConnections = options.Limits.Connections;
                if (options.Host == "localhost" && options.Port != 0)
                {
                    kestrel.ListenLocalhost(options.Port);
                }
                else
                {
                    kestrel.Listen(AddressOf(options.Host), options.Port);
                }
            });
        builder
            .Logging.AddConsole(console => console.FormatterName = SafeConsoleFormatter.FormatterName)
            .AddConsoleFormatter<SafeConsoleFormatter, Microsoft.Extensions.Logging.Console.ConsoleFormatterOptions>()
            .SetMinimumLevel(LogLevel.Warning)
            .AddFilter("glmtune", LogLevel.Information)
            // Startup failures reach the caller as exceptions.
            .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(console =>
            console.LogToStandardErrorThreshold = LogLevel.Trace
        );
        // Answers cut off at the end get a moment to say so.
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = options.StopTime + TimeToSayWhy);
        builder.Services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.PropertyNamingPolicy = ApiJson.Options.PropertyNamingPolicy;
            json.SerializerOptions.Encoder = ApiJson.Options.Encoder;
            json.SerializerOptions.NumberHandling = ApiJson.Options.NumberHandling;
        });
        builder.Services.AddRoutingCore().AddCors().AddSingleton(options).AddSingleton(options.Time);
        builder.Services.AddSingleton<BodyMemory>();
        builder.Services.Replace(ServiceDescriptor.Singleton<IHostLifetime, CallersLifetime>());
        addServices?.Invoke(builder.Services);

        var app = builder.Build();
        app.UseRequestCounting();
        app.UseErrorResponses();
        app.UseBrowserGuard(options);
        app.UseRouting();
        if (options.CorsOrigins.Count > 0)
        {
            app.UseCors(cors => cors.WithOrigins([.. options.CorsOrigins]).AllowAnyHeader().WithMethods("GET", "POST"));
        }

        app.UseApiKeyGuard(options);
        map(app);
        return app;
    }

    /// <summary>Whether a host cannot be reached from other machines.</summary>
    public static bool IsLoopback(string host) =>
        host == "localhost" || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));

    private static IPAddress AddressOf(string host) =>
        host == "localhost" ? IPAddress.Loopback
        : IPAddress.TryParse(host, out var address) ? address
        : throw new InvalidDataException(
            $"'{host}' is not an address to listen on; expected an IP address such as 127.0.0.1 or 0.0.0.0, "
                + "or localhost."
        );

    // Whoever started the application stops it; the host must not catch signals.
    private sealed class CallersLifetime : IHostLifetime
    {
        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
