using System.CommandLine;
using System.Reflection;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace GlmTune.Cli;

/// <summary><c>--otlp [ENDPOINT]</c>: sends metrics to a collector by OpenTelemetry's protocol.</summary>
/// <remarks>Also reads OpenTelemetry's environment variables, such as <c>OTEL_EXPORTER_OTLP_ENDPOINT</c>,
/// <c>OTEL_EXPORTER_OTLP_PROTOCOL</c>, <c>OTEL_SERVICE_NAME</c> and <c>OTEL_METRIC_EXPORT_INTERVAL</c>; without the
/// option, they have no effect.</remarks>
internal sealed class OtlpOption
{
    /// <summary>How long an end may wait for a collector.</summary>
    public const int FlushMilliseconds = 5000;

    private const int HttpPort = 4318; // The port that collectors use for HTTP; for gRPC it is 4317.
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";
    private const string MetricsEndpointVariable = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    private const string ProtocolVariable = "OTEL_EXPORTER_OTLP_PROTOCOL";
    private const string MetricsProtocolVariable = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL";
    private const string DefaultEndpoint = "http://localhost:4317";
    private const string Path = "/v1/metrics"; // Of metrics over HTTP, below the endpoint.

    private readonly Option<string?> option = new("--otlp")
    {
        HelpName = "ENDPOINT",
        Arity = ArgumentArity.ZeroOrOne,
        Description =
            $"send metrics by OTLP to this address; default: {EndpointVariable}, or {DefaultEndpoint}. Without --otlp, "
            + "nothing is sent",
    };

    public OtlpOption() =>
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }] && Problem(text) is { } problem)
            {
                result.AddError($"--otlp: {problem}");
            }
        });

    /// <summary>Adds the option to a command.</summary>
    public void AddTo(Command command) => command.Add(option);

    /// <summary>Starts sending; what has not been sent is sent when the result is disposed.</summary>
    /// <param name="given">The command line.</param>
    /// <param name="screen">Says where metrics are sent.</param>
    /// <param name="meters">Names of the meters to send.</param>
    /// <returns>Null: the option is not given.</returns>
    /// <exception cref="InvalidDataException">The environment names no usable endpoint.</exception>
    public MeterProvider? Start(ParseResult given, Screen screen, params string[] meters)
    {
        if (given.GetResult(option) is null or { Implicit: true })
        {
            return null;
        }

        var (named, source) = (given.GetValue(option), "--otlp");
        foreach (var variable in (string[])[MetricsEndpointVariable, EndpointVariable])
        {
            if (string.IsNullOrEmpty(named))
            {
                (named, source) = (Environment.GetEnvironmentVariable(variable), variable);
            }
        }

        (named, source) = string.IsNullOrEmpty(named) ? (DefaultEndpoint, "") : (named, source);
        if (Problem(named) is { } problem)
        {
            throw new InvalidDataException($"{source}: {problem}");
        }

        var endpoint = new Uri(named);
        var isHttp = (Variable(MetricsProtocolVariable) ?? Variable(ProtocolVariable)) switch
        {
            // An address with a path is one of HTTP.
            null => endpoint.Port == HttpPort || HasPath(endpoint),
            "grpc" => false,
            "http/protobuf" => true,
            var other => throw new InvalidDataException(
                $"{ProtocolVariable} is '{other}'; expected grpc or http/protobuf."
            ),
        };
        if (
            isHttp
            && source != MetricsEndpointVariable
            && !endpoint.AbsolutePath.EndsWith(Path, StringComparison.Ordinal)
        )
        {
            endpoint = new Uri(endpoint.GetLeftPart(UriPartial.Path).TrimEnd('/') + Path);
        }

        var provider = Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(
                ResourceBuilder
                    .CreateEmpty()
                    .AddService("glmtune", serviceVersion: Version, autoGenerateServiceInstanceId: true)
                    .AddTelemetrySdk()
                    .AddEnvironmentVariableDetector()
            )
            .AddMeter(meters)
            .AddOtlpExporter(exporter =>
            {
                exporter.Endpoint = endpoint;
                exporter.Protocol = isHttp ? OtlpExportProtocol.HttpProtobuf : OtlpExportProtocol.Grpc;
            })
            .Build();
        screen.Error.WriteLine($"Sending metrics to {endpoint} by OTLP ({(isHttp ? "http/protobuf" : "grpc")}).");
        return provider;
    }

    private static string? Version =>
        typeof(OtlpOption).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;

    private static string? Variable(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    private static bool HasPath(Uri endpoint) => endpoint.AbsolutePath.TrimEnd('/').Length > 0;

    private static string? Problem(string endpoint) =>
        Uri.TryCreate(endpoint, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
            ? null
            : $"'{endpoint}' is not an endpoint; expected an address such as {DefaultEndpoint}.";
}
