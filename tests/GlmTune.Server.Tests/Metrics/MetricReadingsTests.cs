using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;

namespace GlmTune.Server.Tests;

/// <summary>What <c>/metrics</c> writes of instruments, against the rules of Prometheus's text format 0.0.4.</summary>
public sealed class MetricReadingsTests : IDisposable
{
    private readonly ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();

    public void Dispose() => services.Dispose();

    [Fact]
    public void A_counter_adds_up_by_labels()
    {
        var (meter, read) = Listen();
        var counter = meter.CreateCounter<long>("our.requests", "{request}", "All\nof \\ them.");
        counter.Add(2, new("status", 200), new("odd.name", "a\"b\\c\nd"));
        counter.Add(3, new("status", 200), new("odd.name", "a\"b\\c\nd"));
        counter.Add(1, new("status", 404), new("odd.name", ""));

        var family = read()["our_requests_total"];
        Assert.Equal(("counter", "All\nof \\ them."), (family.Type, family.Help));
        Assert.Equal([5, 1], family.Samples.Select(sample => sample.Value));
        Assert.Equal("a\"b\\c\nd", family.Samples[0].Labels["odd_name"]);
        Assert.Equal("200", family.Samples[0].Labels["status"]);
        Assert.Equal(ServerMetrics.MeterName, family.Samples[0].Labels["otel_scope_name"]);
    }

    [Fact]
    public void A_histogram_counts_up_to_and_with_each_bound()
    {
        var (meter, read) = Listen();
        var histogram = meter.CreateHistogram(
            "our.time",
            "s",
            "Time.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.5, 1, 2] }
        );
        foreach (var value in (double[])[0.25, 0.5, 0.75, 2, 2.5])
        {
            histogram.Record(value, new KeyValuePair<string, object?>("endpoint", "/v1"));
        }

        var family = read()["our_time_seconds"];
        Assert.Equal("histogram", family.Type);
        Assert.Equal(
            [("0.5", 2), ("1", 3), ("2", 4), ("+Inf", 5)],
            family
                .Samples.Where(sample => sample.Name == "our_time_seconds_bucket")
                .Select(sample => (sample.Labels["le"], (int)sample.Value))
        );
        Assert.Equal(6, family.Samples.Single(sample => sample.Name == "our_time_seconds_sum").Value);
    }

    [Fact]
    public void A_gauge_is_read_when_asked_and_forgotten_when_it_reports_no_more()
    {
        var (meter, read) = Listen();
        var values = new List<Measurement<int>> { new(7, new KeyValuePair<string, object?>("a", "1")), new(8) };
        meter.CreateObservableGauge("our.gauge", () => values, "By", "Bytes.");
        Assert.Equal([7, 8], read()["our_gauge_bytes"].Samples.Select(sample => sample.Value));
        values.RemoveAt(0);
        values[0] = new(9);
        Assert.Equal([9], read()["our_gauge_bytes"].Samples.Select(sample => sample.Value));
        values.Clear();
        Assert.DoesNotContain("our_gauge_bytes", read().Keys);
    }

    [Fact]
    public void An_instrument_that_fails_hides_no_other()
    {
        var (meter, read) = Listen();
        meter.CreateObservableGauge("our.broken", Broken);
        meter.CreateObservableGauge("our.whole", () => double.NegativeInfinity);
        var families = read();
        Assert.Equal(double.NegativeInfinity, families["our_whole"].Samples.Single().Value);
        Assert.DoesNotContain("our_broken", families.Keys);

        static int Broken() => throw new NotSupportedException();
    }

    [Fact]
    public void Another_server_of_the_process_is_not_counted()
    {
        var (_, read) = Listen();
        using var other = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var counter = other
            .GetRequiredService<IMeterFactory>()
            .Create(ServerMetrics.MeterName)
            .CreateCounter<long>("our.requests");
        counter.Add(1);
        Assert.DoesNotContain("our_requests_total", read().Keys);
    }

    private (Meter Meter, Func<Dictionary<string, MetricFamily>> Read) Listen()
    {
        var meters = services.GetRequiredService<IMeterFactory>();
        var readings = new MetricReadings(meters);
        return (meters.Create(ServerMetrics.MeterName), () => MetricFamily.Read(readings.ToPrometheus()));
    }
}
