using System.CommandLine;
using System.Globalization;
using GlmTune.Benchmarking;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune bench load</c>: measures how fast a model's weights reach the device.</summary>
internal static class BenchLoadCommand
{
    public static Command Create(Screen screen)
    {
        var folder = new Argument<string>("MODEL") { Description = "model folder, or a Hub id of a downloaded model" };
        var json = Arguments.Json();
        var command = new Command(
            "load",
            "Time loading a model's weights, and plain reads of its files for comparison."
        )
        {
            folder,
            json,
        };
        command.SetAction(given =>
        {
            var result = LoadBenchmark.Run(ModelReference.Resolve(given.GetRequiredValue(folder)));
            screen.Output.WriteLine(
                given.GetValue(json)
                    ? JsonText.Of(result)
                    : string.Create(
                        CultureInfo.InvariantCulture,
                        $"{result.Gigabytes:F2} GB to {result.Device}: {result.LoadSeconds:F2} s, "
                            + $"{result.LoadSpeed:F2} GB/s ({result.ConstructSeconds:F3} s of it to build the "
                            + $"model); plain reads with {result.Readers} threads {result.ReadSeconds:F2} s, "
                            + $"{result.ReadSpeed:F2} GB/s, files in the page cache"
                    )
            );
        });
        return command;
    }
}
