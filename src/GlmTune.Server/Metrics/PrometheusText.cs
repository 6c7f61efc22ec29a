using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace GlmTune.Server;

/// <summary>Writes instruments in the text format of Prometheus, version 0.0.4, named as OpenTelemetry's
/// specification of compatibility says: dots become underscores, the unit and a counter's <c>_total</c> are
/// appended.</summary>
internal sealed class PrometheusText
{
    /// <summary>The media type of the format.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly StringBuilder text = new(
        "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{service_name=\"glmtune\"} 1\n"
    );

    /// <summary>What was written.</summary>
    public override string ToString() => text.ToString();

    /// <summary>Writes an instrument with its series; nothing if it has none.</summary>
    public void Write(Instrument instrument, IReadOnlyCollection<MetricSeries> series)
    {
        if (series.Count == 0)
        {
            return;
        }

        var type = Type(instrument);
        var name = Name(instrument, type);
        text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {Escaped(instrument.Description ?? "")}\n");
        text.Append(CultureInfo.InvariantCulture, $"# TYPE {name} {type}\n");
        foreach (var one in series)
        {
            var labels = one.Labels.Prepend(("otel_scope_name", instrument.Meter.Name)).ToList();
            if (type == "histogram")
            {
                foreach (var (bound, count) in one.Buckets)
                {
                    Sample($"{name}_bucket", labels.Append(("le", Number(bound))), count);
                }

                Sample($"{name}_sum", labels, one.Value);
                Sample($"{name}_count", labels, one.Count);
            }
            else
            {
                Sample(name, labels, one.Value);
            }
        }
    }

    private void Sample(string name, IEnumerable<(string Name, string Value)> labels, double value)
    {
        var pairs = labels.Select(label => $"{Word(label.Name)}=\"{Escaped(label.Value, quote: true)}\"");
        text.Append(CultureInfo.InvariantCulture, $"{name}{{{string.Join(',', pairs)}}} {Number(value)}\n");
    }

    private static string Type(Instrument instrument) =>
        instrument switch
        {
            Counter<int>
            or Counter<long>
            or Counter<double>
            or ObservableCounter<int>
            or ObservableCounter<long>
            or ObservableCounter<double> => "counter",
            Histogram<double> => "histogram",
            _ => "gauge",
        };

    private static string Name(Instrument instrument, string type)
    {
        var name = Word(instrument.Name);
        var unit = instrument.Unit switch
        {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "", // Such as {request}, which the name says.
        };
        var total = type == "counter" ? "_total" : "";
        return With(With(name, unit), total);

        static string With(string name, string suffix) =>
            name.EndsWith(suffix, StringComparison.Ordinal) ? name : name + suffix;
    }

    private static string Word(string name) =>
        string.Concat(name.Select((c, index) => char.IsAsciiLetter(c) || index > 0 && char.IsAsciiDigit(c) ? c : '_'));

    private static string Escaped(string value, bool quote = false)
    {
        var escaped = value
            .Replace("\\", "\\\\", StringComparison.Ordinal)
            .Replace("\n", "\\n", StringComparison.Ordinal);
        return quote ? escaped.Replace("\"", "\\\"", StringComparison.Ordinal) : escaped;
    }

    private static string Number(double value) =>
        value switch
        {
            double.PositiveInfinity => "+Inf",
            double.NegativeInfinity => "-Inf",
            _ => value.ToString(CultureInfo.InvariantCulture),
        };
}
