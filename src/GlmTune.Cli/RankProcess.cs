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
    public static Option<int?> Count()
    {
        var option = new Option<int?>("--nproc-per-node")
        {
            HelpName = "N", Description = "start N ranks on this machine: on N GPUs, or by mpirun on the CPU; not needed under torchrun, mpirun or srun",
        };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1)
            {
                result.AddError("--nproc-per-node: expected at least 1.");
            }
        });
        return option;
    }

    /// <summary>Reads what every rank reads before they meet; what is wrong with it is said by the first rank of each machine.</summary>
    /// <returns>Null where it is wrong, and said by another rank.</returns>
    public static Recipe? Read(Func<Recipe> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is InvalidDataException or IOException && Rendezvous.FromEnvironment().LocalRank > 0)
        {
            return null;
        }
    }

    /// <summary>Starts this same command line again as that many processes, and waits for their end.</summary>
    /// <returns>The exit code of the run.</returns>
    public static int StartAll(int count, ParseResult given, Option<int?> option, Recipe recipe, Screen screen)
    {
        var type = DeviceFor(recipe).type;
        if (type == DeviceType.CUDA && count > cuda.device_count())
        {
            throw new InvalidDataException($"--nproc-per-node {count}: this machine shows {cuda.device_count()} GPUs. Start as many ranks as it has, or train on the CPU with use_cpu.");
        }
        return new LocalLauncher(count, screen.Error).Run(LocalLauncher.ThisProgram(Without(option, given)), type);
    }

    /// <summary>Meets the other ranks, if a launcher started any, and runs what each of them does.</summary>
    /// <param name="recipe">Says where it computes, and how long ranks wait for each other.</param>
    /// <param name="screen">Gets what goes wrong.</param>
    /// <param name="run">What this rank does; gives its exit code.</param>
    public static int Run(Recipe recipe, Screen screen, Func<ICollectives, int> run)
    {
        var rendezvous = Rendezvous.FromEnvironment();
        rendezvous.ShowOwnGpu();
        if (rendezvous.Warning is { } warning)
        {
            screen.Error.WriteLine($"note: {warning}");
        }
        var device = DeviceFor(recipe);
        var ranks = rendezvous.Connect(
            rendezvous.WorldSize > 1 ? rendezvous.Device(device.type) : device, new CollectivesOptions { Timeout = recipe.Training.CollectiveTimeout });
        if (ranks.WorldSize == 1)
        {
            using (ranks)
            {
                return run(ranks);
            }
        }
        return RankRun.Run(ranks, run, error =>
        {
            if (error is not SharedFailureException && !error.Message.StartsWith("Rank ", StringComparison.Ordinal))
            {
                screen.Error.Write($"Rank {ranks.Rank} of {ranks.WorldSize}: ");
            }
            return ExitCode.Report(error, screen.Error);
        });
    }

    private static Device DeviceFor(Recipe recipe)
    {
        NativeRuntime.Load();
        return recipe.Training.UseCpu ? CPU : NativeRuntime.DefaultDevice();
    }

    /// <summary>The command line's arguments without one option and its value.</summary>
    public static List<string> Without(Option option, ParseResult given)
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
