using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using GlmTune.Collectives.Native;
using TorchSharp;

namespace GlmTune.Collectives;

/// <summary>Starts the ranks of one machine, each as a process of this program.</summary>
/// <remarks>Ranks on GPUs are started directly and meet through NCCL at a free port of this machine; ranks on CPUs are
/// started by <c>mpirun</c>. Signals sent to this process are forwarded to the ranks. When a rank ends with an exit
/// code other than 0, the others receive SIGTERM, and are killed after <see cref="Grace"/>.</remarks>
internal sealed class LocalLauncher
{
    /// <summary>Environment variable that tells a rank the process id of the launcher.</summary>
    internal const string ParentVariable = "GLMTUNE_LAUNCHER_PID";

    private readonly int ranks;
    private readonly TextWriter log;

    /// <summary>Creates a launcher of <paramref name="ranks"/> processes.</summary>
    /// <param name="ranks">Number of ranks, at least 1.</param>
    /// <param name="log">Receives a line when a rank fails; null: standard error.</param>
    public LocalLauncher(int ranks, TextWriter? log = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ranks, 1);
        (this.ranks, this.log) = (ranks, log ?? Console.Error);
    }

    /// <summary>How long ranks may take to end by themselves, for example to write a checkpoint, after one has failed.
    /// Default: 30 s.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The command that starts this program again with other arguments.</summary>
    /// <param name="arguments">Arguments of the ranks: those of this process without the number of ranks.</param>
    public static string[] ThisProgram(IEnumerable<string> arguments)
    {
        var program =
            Environment.ProcessPath ?? throw new InvalidOperationException("The path of this program is unknown.");
        string[] host =
            Path.GetFileNameWithoutExtension(program) == "dotnet"
                ? [program, "exec", Environment.GetCommandLineArgs()[0]]
                : [program];
        return [.. host, .. arguments];
    }

    /// <summary>Starts the ranks and waits until they end.</summary>
    /// <param name="command">The program and its arguments; the same for each rank.</param>
    /// <param name="type">Where the ranks compute: CUDA or CPU.</param>
    /// <returns>0 if all ranks end with 0; otherwise the exit code of the first that does not, or 128 + n if signal n
    /// ended it.</returns>
    /// <exception cref="FileNotFoundException">Ranks on CPUs need <c>mpirun</c>, which is not on the PATH.</exception>
    /// <exception cref="InvalidDataException">This process is already one of several ranks.</exception>
    public int Run(IReadOnlyList<string> command, DeviceType type)
    {
        RequireOutermost();
        using var family = new ProcessFamily(log, Grace);
        if (type == DeviceType.CUDA)
        {
            var port = FreePort();
            for (var rank = 0; rank < ranks; rank++)
            {
                family.Start($"Rank {rank} of {ranks}", command, VariablesOf(rank, port));
            }
        }
        else
        {
            family.Start("mpirun", [.. Mpirun(), .. command], VariablesUnderMpirun(), starts: command[0]);
        }

        return family.WaitForEnd();
    }

    private static void RequireOutermost()
    {
        var around = Rendezvous.FromEnvironment();
        if (around.WorldSize > 1)
        {
            throw new InvalidDataException(
                $"This process is already rank {around.Rank} of {around.WorldSize}, started by "
                    + $"{around.Launcher}. Either let the launcher start all ranks, or start one process per "
                    + "machine that starts them."
            );
        }
    }

    private Dictionary<string, string?> VariablesOf(int rank, int port) =>
        new()
        {
            ["RANK"] = Text(rank),
            ["LOCAL_RANK"] = Text(rank),
            ["WORLD_SIZE"] = Text(ranks),
            ["LOCAL_WORLD_SIZE"] = Text(ranks),
            ["MASTER_ADDR"] = "127.0.0.1",
            ["MASTER_PORT"] = Text(port),
            [NcclRootAddress.Variable] = $"127.0.0.1:{port}",
            [ParentVariable] = Text(Environment.ProcessId),
            ["OMP_NUM_THREADS"] = ThreadsPerRank(),
        };

    // Variables that describe a world of one must not reach the ranks.
    private Dictionary<string, string?> VariablesUnderMpirun() =>
        new()
        {
            ["RANK"] = null,
            ["LOCAL_RANK"] = null,
            ["WORLD_SIZE"] = null,
            ["LOCAL_WORLD_SIZE"] = null,
            [ParentVariable] = Text(Environment.ProcessId),
            ["OMP_NUM_THREADS"] = ThreadsPerRank(),
        };

    private string[] Mpirun()
    {
        var mpirun =
            SearchPath.Find("mpirun")
            ?? throw new FileNotFoundException(
                $"{ranks} ranks on CPUs need mpirun, which is not on the PATH. Install Open MPI (Debian: "
                    + "openmpi-bin) or MPICH."
            );
        string[] root = HostProcess.IsRoot() ? ["--allow-run-as-root"] : [];
        string[] options = IsOpenMpi(mpirun) ? [.. root, "--oversubscribe", "--bind-to", "none"] : [];
        return [mpirun, .. options, "-n", Text(ranks)];
    }

    private static bool IsOpenMpi(string mpirun)
    {
        using var asked = Process.Start(new ProcessStartInfo(mpirun, ["--version"]) { RedirectStandardOutput = true })!;
        return asked.StandardOutput.ReadToEnd().Contains("Open MPI", StringComparison.Ordinal);
    }

    private string ThreadsPerRank() =>
        Environment.GetEnvironmentVariable("OMP_NUM_THREADS") ?? Text(Math.Max(1, Environment.ProcessorCount / ranks));

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
