namespace GlmTune.Server;

/// <summary><c>GET /metrics</c>, for Prometheus.</summary>
internal static class MetricsEndpoint
{
    public static void MapMetrics(this WebApplication app)
    {
        // Made now, so that everything is counted from the start and gauges are there before the first request.
        var readings = app.Services.GetRequiredService<MetricReadings>();
        _ = app.Services.GetRequiredService<ServerMetrics>();
        app.MapGet("/metrics", () => Results.Text(readings.ToPrometheus(), PrometheusText.ContentType))
            .ExcludeFromDescription();
    }
}
