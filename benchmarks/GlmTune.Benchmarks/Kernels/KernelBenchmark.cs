using System.Globalization;
using System.Text.Json;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Kernels.Tests;
using static TorchSharp.torch;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>Checks every kernel on this machine's GPU against its definition, then times it on GLM-4-9B's
/// sizes.</summary>
internal static class KernelBenchmark
{
    private static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <returns>0; 1 where a check failed; 2 without a GPU.</returns>
    public static int Run(string? json, IReadOnlyCollection<string> only)
    {
        var device = NativeRuntime.DefaultDevice();
        var kernels = LayerKernels.For(device);
        Console.WriteLine($"libtorch in {NativeRuntime.Load().Folder}: {kernels.Description}");
        if (kernels is not CudaKernels cuda)
        {
            return 2;
        }

        using var gradient = no_grad();
        var report = new Report();
        var parts = new (string Name, Action Run)[]
        {
            ("checks", () => Check(cuda, device, report)),
            ("training", () => TrainingTimes.Measure(cuda, device, report)),
            ("attention", () => AttentionTimes.Measure(cuda, device, report)),
            ("prefill", () => PrefillTimes.Measure(cuda, device, report)),
            ("decode", () => DecodeTimes.Measure(cuda, device, report)),
            ("probe", () => DecodeTimes.Probe(cuda, device)),
        };
        foreach (
            var (name, run) in parts.Where(part => only.Count == 0 ? part.Name != "probe" : only.Contains(part.Name))
        )
        {
            Console.WriteLine($"\n== {name}");
            var watch = System.Diagnostics.Stopwatch.StartNew();
            try
            {
                run();
            }
            catch (Exception error)
            {
                report.Failures.Add($"{name}: {error.Message}");
                Console.WriteLine(error);
            }

            Console.WriteLine($"({name}: {watch.Elapsed.TotalSeconds:F1} s)");
        }

        if (json is not null)
        {
            File.WriteAllText(
                json,
                JsonSerializer.Serialize(
                    new
                    {
                        device = kernels.Description,
                        checks = report.Checks,
                        times = report.Times,
                        failures = report.Failures,
                    },
                    Indented
                )
            );
        }

        Console.WriteLine(
            report.Failures.Count == 0
                ? "\nAll checks passed."
                : $"\n{report.Failures.Count} FAILED:\n{string.Join('\n', report.Failures)}"
        );
        return report.Failures.Count == 0 ? 0 : 1;
    }

    private static void Check(CudaKernels kernels, Device device, Report report)
    {
        foreach (var (name, twin) in KernelTwins.All)
        {
            foreach (var type in (ScalarType[])[ScalarType.BFloat16, ScalarType.Float16, ScalarType.Float32])
            {
                try
                {
                    using var check = new TwinCheck(kernels, type, device);
                    twin(check, KernelTwins.Sizes.Glm4);
                    foreach (var result in check.Results)
                    {
                        report.Checks.Add(
                            new(
                                name,
                                type.ToString(),
                                result.What,
                                result.Norm,
                                result.Worst,
                                result.Limit,
                                result.Passed
                            )
                        );
                        if (!result.Passed)
                        {
                            report.Failures.Add($"{name}, {type}, {result}");
                        }
                    }

                    Console.WriteLine(
                        $"{name,-28}{type,-10}{check.Results.Count(result => result.Passed)} of "
                            + $"{check.Results.Count} agree, worst "
                            + $"{check.Results.Max(result => result.Norm / Math.Max(result.Limit, 1e-300)):F2} of "
                            + "the limit"
                    );
                }
                catch (Exception error)
                {
                    report.Failures.Add($"{name}, {type}: {error.GetType().Name} {error.Message}");
                    Console.WriteLine($"{name,-28}{type,-10}{error.Message}");
                }
            }
        }
    }
}

/// <summary>What was found.</summary>
internal sealed class Report
{
    public List<CheckLine> Checks { get; } = [];

    public List<TimeLine> Times { get; } = [];

    public List<string> Failures { get; } = [];

    /// <summary>Notes a time, with the rate at which the fewest bytes, or the operations, went by.</summary>
    public void Time(string name, double microseconds, double bytes = 0, double operations = 0)
    {
        var (bandwidth, rate) = (bytes / microseconds / 1e3, operations / microseconds / 1e6);
        Times.Add(new(name, microseconds, bandwidth, rate));
        Console.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{name,-58}{microseconds,11:F1} "
                    + $"µs{(bytes > 0 ? $"{bandwidth,9:F0} GB/s" : "")}{(operations > 0 ? $"{rate,9:F0} TFLOP/s" : "")}"
            )
        );
    }
}

internal sealed record CheckLine(
    string Function,
    string Type,
    string Value,
    double Norm,
    double Worst,
    double Limit,
    bool Passed
);

internal sealed record TimeLine(string Name, double Microseconds, double GigabytesPerSecond, double Teraflops);
