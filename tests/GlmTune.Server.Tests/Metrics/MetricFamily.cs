using System.Globalization;
using System.Text.RegularExpressions;

namespace GlmTune.Server.Tests;

/// <summary>A family of Prometheus's text format 0.0.4, read strictly: anything against its rules fails the
/// test.</summary>
internal sealed partial record MetricFamily(string Name, string Type, string Help)
{
    public List<(string Name, Dictionary<string, string> Labels, double Value)> Samples { get; } = [];

    public static Dictionary<string, MetricFamily> Read(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        var families = new Dictionary<string, MetricFamily>();
        var (help, family) = (default((string Name, string Text)?), default(MetricFamily));
        foreach (var line in text[..^1].Split('\n'))
        {
            if (HelpLine().Match(line) is { Success: true } about)
            {
                help = (about.Groups[1].Value, Unescaped(about.Groups[2].Value));
            }
            else if (TypeLine().Match(line) is { Success: true } type)
            {
                Assert.Equal(help?.Name, type.Groups[1].Value);
                family = new MetricFamily(type.Groups[1].Value, type.Groups[2].Value, help!.Value.Text);
                families.Add(family.Name, family); // Throws on a second header.
            }
            else
            {
                var sample = SampleLine().Match(line);
                Assert.True(sample.Success, $"no line of the format: {line}");
                var name = sample.Groups["name"].Value;
                string[] names =
                    family!.Type == "histogram"
                        ? [$"{family.Name}_bucket", $"{family.Name}_sum", $"{family.Name}_count"]
                        : [family.Name];
                Assert.Contains(name, names);
                var labels = Label()
                    .Matches(sample.Groups["labels"].Value)
                    .ToDictionary(label => label.Groups[1].Value, label => Unescaped(label.Groups[2].Value));
                family.Samples.Add((name, labels, Number(sample.Groups["value"].Value)));
            }
        }

        foreach (var histogram in families.Values.Where(each => each.Type == "histogram"))
        {
            histogram.CheckBuckets();
        }

        return families;
    }

    // By series: bounds ascend, counts do not fall, the last bound is infinite and its count is the count of all.
    private void CheckBuckets()
    {
        foreach (
            var series in Samples.GroupBy(sample =>
                string.Join(',', sample.Labels.Where(label => label.Key != "le").Select(label => $"{label}"))
            )
        )
        {
            var buckets = series.Where(sample => sample.Name == $"{Name}_bucket").ToList();
            var bounds = buckets.Select(bucket => Number(bucket.Labels["le"])).ToList();
            Assert.Equal(bounds.Distinct().Order(), bounds);
            Assert.Equal(double.PositiveInfinity, bounds[^1]);
            Assert.Equal(buckets.Select(bucket => bucket.Value).Order(), buckets.Select(bucket => bucket.Value));
            Assert.Equal(buckets[^1].Value, series.Single(sample => sample.Name == $"{Name}_count").Value);
            Assert.Single(series, sample => sample.Name == $"{Name}_sum");
        }
    }

    private static double Number(string text) =>
        text switch
        {
            "+Inf" => double.PositiveInfinity,
            "-Inf" => double.NegativeInfinity,
            _ => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
        };

    private static string Unescaped(string text) =>
        Escape().Replace(text, match => match.Value[1] == 'n' ? "\n" : match.Value[1..]);

    [GeneratedRegex("^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$")]
    private static partial Regex HelpLine();

    [GeneratedRegex("^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex(
        """^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\{(?<labels>([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*",?)*)\} (?<value>[-+0-9.eEINFnaf]+)$"""
    )]
    private static partial Regex SampleLine();

    [GeneratedRegex("""([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)",?""")]
    private static partial Regex Label();

    [GeneratedRegex("""\\["\\n]""")]
    private static partial Regex Escape();
}
