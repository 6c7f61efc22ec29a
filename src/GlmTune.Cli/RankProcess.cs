using System.CommandLine;
using System.CommandLine.Parsing;
using GlmTune.Collectives;
using GlmTune.Kernels.Native;
using GlmTune.Recipes;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Cli;

/// <summary>A process as one rank of a run, and the processes of a run on this machine.</summary>
internal static class RankProcess
{
    /// <summary>The option that starts the ranks of this machine.</summary>
    public static Option<int?> Count() =>
        NumberOption.Optional<int>(
            "--nproc-per-node",
            "start N ranks on this machine: on N GPUs, or by mpirun on the CPU; not needed under torchrun, mpirun or "
                + "srun",
            1
        );

    /// <summary>Reads what every rank reads before they meet; what is wrong with it is said by the first rank of each
    /// machine.</summary>
    /// <returns>Null where it is wrong, and said by another rank.</returns>
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

    /// <summary>Where a recipe says that it computes.</summary>
    public static Device DeviceFor(Recipe recipe)
    {
        NativeRuntime.Load();
        return recipe.Training.UseCpu ? CPU : NativeRuntime.DefaultDevice();
    }

    /// <summary>Starts this same command line again as that many processes, and waits for their end.</summary>
    /// <param name="count">How many.</param>
    /// <param name="given">The command line.</param>
    /// <param name="option">Its option that says how many, which the processes do not get.</param>
    /// <param name="device">Where a rank computes.</param>
    /// <param name="screen">Gets what they say.</param>
    /// <returns>The exit code of the run.</returns>
    public static int StartAll(int count, ParseResult given, Option<int?> option, Device device, Screen screen)
    {
        var type = device.type;
        if (type == DeviceType.CUDA && count > cuda.device_count())
        {
            throw new InvalidDataException(
                $"--nproc-per-node {count}: this machine shows {cuda.device_count()} GPUs. Start as many ranks as it "
                    + "has, or train on the CPU with use_cpu: true."
            );
        }

        return new LocalLauncher(count, screen.Error).Run(LocalLauncher.ThisProgram(Without(option, given)), type);
    }

    /// <summary>Meets the other ranks, if a launcher started any, and runs what each of them does.</summary>
    /// <param name="device">Says where it computes; asked once this process sees the GPU of its rank alone.</param>
    /// <param name="screen">Gets what goes wrong.</param>
    /// <param name="run">What this rank does; gives its exit code.</param>
    /// <param name="options">How ranks wait for each other; null for the defaults.</param>
    /// <param name="sendsAlone">Whether one rank on a GPU sends its messages all the same, to itself.</param>
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

                return ExitCode.Report(error, screen.Error);
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
