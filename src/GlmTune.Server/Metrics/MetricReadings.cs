using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace GlmTune.Server;

/// <summary>Keeps the measurements of this server's instruments and of the runtime's, from its creation on.
/// Thread-safe.</summary>
internal sealed class MetricReadings : IDisposable
{
    private const string RuntimeMeter = "System.Runtime";

    private readonly ConcurrentDictionary<Instrument, Dictionary<string, MetricSeries>> series = new();
    private readonly MeterListener listener = new();
    private readonly Lock reading = new();

    /// <summary>Starts listening.</summary>
    /// <param name="meters">Made the server's meter; another server's in the same process is not listened to.</param>
    public MetricReadings(IMeterFactory meters)
    {
        listener.InstrumentPublished = (instrument, listener) =>
        {
            if (
                instrument.Meter.Name == RuntimeMeter
                || instrument.Meter.Name == ServerMetrics.MeterName && ReferenceEquals(instrument.Meter.Scope, meters)
            )
            {
                series[instrument] = [];
                listener.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Take(instrument, value, tags));
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Take(instrument, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Take(instrument, value, tags));
        listener.Start();
    }

    /// <inheritdoc/>
    public void Dispose() => listener.Dispose();

    /// <summary>The current values in the text format of Prometheus.</summary>
    public string ToPrometheus()
    {
        lock (reading)
        {
            // Drops series that an instrument no longer reports.
            foreach (var (instrument, some) in series.Where(entry => entry.Key.IsObservable))
            {
                lock (some)
                {
                    some.Clear();
                }
            }

            try
            {
                listener.RecordObservableInstruments();
            }
            catch (AggregateException)
            {
                // An instrument that fails, such as one that the platform lacks, is left out.
            }

            var text = new PrometheusText();
            foreach (var (instrument, some) in series.OrderBy(entry => entry.Key.Name, StringComparer.Ordinal))
            {
                lock (some)
                {
                    text.Write(instrument, some.Values);
                }
            }

            return text.ToString();
        }
    }

    private void Take(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (!series.TryGetValue(instrument, out var some))
        {
            return;
        }

        var labels = new List<(string Name, string Value)>(tags.Length);
        foreach (var (name, label) in tags)
        {
            labels.Add((name, Convert.ToString(label, CultureInfo.InvariantCulture) ?? ""));
        }

        var key = string.Join('\0', labels.Select(label => $"{label.Name}\0{label.Value}"));
        lock (some)
        {
            if (!some.TryGetValue(key, out var one))
            {
                var bounds = (instrument as Histogram<double>)?.Advice?.HistogramBucketBoundaries ?? [];
                some[key] = one = new MetricSeries(labels, bounds);
            }

            if (instrument.IsObservable)
            {
                one.Set(value);
            }
            else
            {
                one.Add(value);
            }
        }
    }
}
