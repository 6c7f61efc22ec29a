using System.CommandLine;
using System.Globalization;
using GlmTune.Evaluation;
using GlmTune.Evaluation.Metrics;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune metrics</c>: scores predictions against labels.</summary>
internal static class MetricsCommand
{
    public static Command Create(Screen screen)
    {
        var file = new Argument<string>("PREDICTIONS")
        {
            Description = "JSON Lines file with the strings 'prediction' and 'label' on each line",
        };
        var perRow = new Option<bool>("--per-row")
        {
            Description = "first print the scores of each pair, one per line",
        };
        var json = Arguments.Json();
        var command = new Command(
            "metrics",
            "Score predictions: ROUGE-1, ROUGE-2, ROUGE-L (0 to 100) and BLEU-4 (0 to 1), and their means."
        )
        {
            file,
            perRow,
            json,
        };
        command.SetAction(given =>
        {
            var rows = PredictionFile.Read(
                given.GetRequiredValue(file),
                note => screen.Error.WriteLine($"note: {note}")
            );
            var scores = GenerationScores.OfEach([.. rows.Select(row => (row.Prediction, row.Label))]);
            Func<GenerationScores, string> line = given.GetValue(json) ? AsJson : AsText;
            foreach (var score in given.GetValue(perRow) ? scores : [])
            {
                screen.Output.WriteLine(line(score));
            }

            screen.Output.WriteLine(line(GenerationScores.Mean(scores)));
        });
        return command;
    }

    private static string AsJson(GenerationScores scores) => JsonText.Of(scores.ByName.ToDictionary());

    private static string AsText(GenerationScores scores) =>
        string.Join(
            "  ",
            scores.ByName.Select(score => string.Create(CultureInfo.InvariantCulture, $"{score.Key} {score.Value:F4}"))
        );
}
