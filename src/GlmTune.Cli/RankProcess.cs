using System.CommandLine;
using System.CommandLine.Parsing;
using GlmTune.Collectives;
using GlmTune.Kernels.Native;
using GlmTune.Recipes;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Cli;

/// <summary>A process that is one rank of a run, and the processes of a run on this machine.</summary>
internal static class RankProcess
{
    /// <summary>The option that starts the ranks on this machine.</summary>
    public static Option<int?> Count() =>
        NumberOption.Optional<int>(
            "--nproc-per-node",
            "start N ranks on this machine: on N GPUs, or with mpirun on the CPU; not needed under "
                + "torchrun, mpirun or srun",
            1
        );

    /// <summary>Reads what every rank needs before the rendezvous; the first rank of each machine reports
    /// errors.</summary>
    /// <returns>Null if it is invalid and another rank reports the error.</returns>
    public static Recipe? Read(Func<Recipe> read)
    {
        try
        {
            return read();
        }
        catch (Exception error)
            when (error is InvalidDataException or IOException && Rendezvous.FromEnvironment().LocalRank > 0)
        {
            return null;
        }
    }

    /// <summary>The device that a recipe asks for.</summary>
    public static Device DeviceFor(Recipe recipe)
    {
        NativeRuntime.Load();
        return recipe.Training.UseCpu ? CPU : NativeRuntime.DefaultDevice();
    }

    /// <summary>Runs the same command line as several processes and waits for them.</summary>
    /// <param name="count">Number of processes.</param>
    /// <param name="given">The command line.</param>
    /// <param name="option">The option that sets their number; it is removed from their command lines.</param>
    /// <param name="device">The device of a rank.</param>
    /// <param name="screen">Receives their output.</param>
    /// <returns>The exit code of the run.</returns>
    public static int StartAll(int count, ParseResult given, Option<int?> option, Device device, Screen screen)
    {
        var type = device.type;
        if (type == DeviceType.CUDA && count > cuda.device_count())
        {
            throw new InvalidDataException(
                $"--nproc-per-node {count}: this machine has {cuda.device_count()} visible GPUs. Start at "
                    + "most that many ranks, or train on the CPU with use_cpu: true."
            );
        }

        return new LocalLauncher(count, screen.Error).Run(LocalLauncher.ThisProgram(Without(option, given)), type);
    }

    /// <summary>Joins the other ranks, if a launcher started any, and runs the body of each rank.</summary>
    /// <param name="device">Returns the device; called once this process sees only its own rank's GPU.</param>
    /// <param name="screen">Receives errors.</param>
    /// <param name="run">The body of this rank; returns its exit code.</param>
    /// <param name="options">Options of the rendezvous and collectives; null for the defaults.</param>
    /// <param name="sendsAlone">Whether a single rank on a GPU communicates with itself.</param>
    public static int Run(
        Func<Device> device,
        Screen screen,
        Func<ICollectives, int> run,
        CollectivesOptions? options = null,
        bool sendsAlone = false
    )
    {
        var rendezvous = Rendezvous.FromEnvironment();
        rendezvous.ShowOwnGpu();
        if (rendezvous.Warning is { } warning)
        {
            screen.Error.WriteLine($"note: {warning}");
        }

        var place = device();
        var ranks = rendezvous.Connect(
            rendezvous.WorldSize > 1 ? rendezvous.Device(place.type) : place,
            options,
            sendsAlone && place.type == DeviceType.CUDA ? BackendKind.Nccl : null
        );
        if (ranks.WorldSize == 1)
        {
            using (ranks)
            {
                return run(ranks);
            }
        }

        return RankRun.Run(
            ranks,
            run,
            error =>
            {
                if (error is not SharedFailureException && !error.Message.StartsWith("Rank ", StringComparison.Ordinal))
                {
                    screen.Error.Write($"Rank {ranks.Rank} of {ranks.WorldSize}: ");
                }

                var code = ExitCode.Report(error, screen.Error);
                if (error is not (SharedFailureException or LostRankException or OperationCanceledException))
                {
                    screen.Error.WriteLine(ranks.Activity.Describe());
                }

                return code;
            }
        );
    }

    // The command line's arguments without one option and its value.
    private static List<string> Without(Option option, ParseResult given)
    {
        var values = given.GetResult(option)?.Tokens ?? [];
        var left = new List<string>();
        var skip = 0;
        foreach (var token in given.Tokens)
        {
            if (token.Type == TokenType.Option && token.Value == option.Name)
            {
                skip = values.Count > 0 ? 1 : 0;
            }
            else if (skip-- <= 0)
            {
                left.Add(token.Value);
            }
        }

        return left;
    }
}
