using GlmTune.Files;
using ScottPlot;
using SkiaSharp;

namespace GlmTune.Runs;

/// <summary>Draws the curves of a run as PNG files.</summary>
internal static class RunPlots
{
    /// <summary>Name of the folder for the plots, inside the output folder.</summary>
    public const string FolderName = "plots";

    private const int Width = 960,
        Height = 540;
    private static readonly string[] Palette = ["#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2"];

    // Without a name, drawing falls back to the first font found, often a serif font.
    private static readonly Lazy<string?> Sans = new(() =>
    {
        var installed = SKFontManager.Default.FontFamilies.ToHashSet(StringComparer.OrdinalIgnoreCase);
        string[] wanted =
        [
            "Segoe UI",
            "Helvetica Neue",
            "Inter",
            "Noto Sans",
            "Liberation Sans",
            "DejaVu Sans",
            "Arial",
        ];
        return wanted.FirstOrDefault(installed.Contains);
    });

    // File, title, unit of the vertical axis, and its curves.
    private static readonly (string File, string Title, string Unit, string[] Curves)[] Charts =
    [
        ("loss", "Loss", "nats per token", ["loss", "eval_loss", "test_loss"]),
        ("learning_rate", "Learning rate", "", ["learning_rate"]),
        ("gradient_norm", "Gradient norm (before clipping)", "", ["grad_norm"]),
        ("tokens_per_second", "Speed", "tokens/s", ["tokens_per_second"]),
        ("memory", "Memory", "GiB", ["memory_gib", "peak_memory_gib"]),
        (
            "memory_parts",
            "Memory by content",
            "GiB",
            [
                "memory_weights_gib",
                "memory_adapter_gib",
                "memory_gradients_gib",
                "memory_optimizer_gib",
                "memory_activations_gib",
                "memory_other_gib",
            ]
        ),
        ("matmul_share", "Share of a matrix product's speed", "", ["matmul_share"]),
        ("perplexity", "Perplexity", "", ["eval_perplexity", "test_perplexity"]),
        ("rouge", "ROUGE", "0 to 100", ["eval_rouge-1", "eval_rouge-2", "eval_rouge-l"]),
        ("bleu", "BLEU-4", "0 to 1", ["eval_bleu-4"]),
    ];

    /// <summary>Draws every chart that has points into the folder <c>plots</c>, replacing older files.</summary>
    /// <param name="folder">The output folder.</param>
    /// <param name="history">The curves.</param>
    /// <returns>The files in the order of the charts.</returns>
    public static IReadOnlyList<string> Write(string folder, RunHistory history)
    {
        var written = new List<string>();
        foreach (var (file, title, unit, names) in Charts)
        {
            var curves = names
                .Where(name => history.Curves.TryGetValue(name, out var points) && points.Count > 0)
                .ToList();
            if (curves.Count == 0)
            {
                continue;
            }

            written.Add(Path.Combine(Path.GetFullPath(folder), FolderName, file + ".png"));
            using var plot = Draw(title, unit, curves, history);
            AtomicFile.WriteBytes(written[^1], plot.GetImageBytes(Width, Height, ImageFormat.Png));
        }

        return written;
    }

    private static Plot Draw(string title, string unit, List<string> names, RunHistory history)
    {
        var plot = new Plot();
        plot.Title(title);
        plot.XLabel("step");
        plot.YLabel(unit);
        plot.Axes.Right.FrameLineStyle.Width = 0;
        plot.Axes.Top.FrameLineStyle.Width = 0;
        plot.Grid.MajorLineColor = Color.FromHex("#e5e7eb");
        foreach (var (name, index) in names.Select((name, index) => (name, index)))
        {
            var points = history.Curves[name];
            var line = plot.Add.ScatterLine(
                points.Select(point => (double)point.Step).ToArray(),
                points.Select(point => point.Value).ToArray()
            );
            line.LegendText = name;
            line.Color = Color.FromHex(Palette[index % Palette.Length]);
            line.LineWidth = 2;
            // A curve of few points would hardly be visible.
            line.MarkerSize = points.Count <= 40 ? 6 : 0;
        }

        if (names.Count > 1)
        {
            plot.ShowLegend(Edge.Right);
        }

        if (Sans.Value is { } font)
        {
            plot.Font.Set(font);
        }

        plot.Axes.Margins(bottom: names is ["learning_rate"] ? 0 : 0.05);
        return plot;
    }
}
