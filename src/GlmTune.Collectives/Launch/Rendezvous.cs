using GlmTune.Collectives.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Determines from a launcher's environment variables which rank this process is, and connects it with the
/// others.</summary>
/// <param name="Launcher">The launcher.</param>
/// <param name="Rank">Rank of this process, from 0.</param>
/// <param name="WorldSize">Number of ranks.</param>
/// <param name="LocalRank">Index of this rank on its host, from 0, which selects its GPU.</param>
/// <remarks>The innermost launcher counts: torchrun (TORCHELASTIC_RUN_ID) and the local launcher before mpirun
/// (OMPI_COMM_WORLD_*, PMI_*), before RANK and WORLD_SIZE set by others, before srun (SLURM_*). If RANK and WORLD_SIZE
/// are set together with mpirun's variables, they must agree.</remarks>
internal sealed record Rendezvous(Launcher Launcher, int Rank, int WorldSize, int LocalRank)
{
    private const string MpiOfSlurm =
        "Start with srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH); srun --mpi=list shows what is "
        + "available. Or start with mpirun.";

    /// <summary>Number of ranks on this host, if the launcher says so.</summary>
    public int? LocalWorldSize { get; init; }

    /// <summary>Host and port at which rank 0 waits for the others when NCCL starts without MPI; null if the launcher
    /// provides none.</summary>
    public string? RootAddress { get; init; }

    /// <summary>Under srun: whether one of Slurm's MPI plugins was selected. Without one, Open MPI ends the process
    /// during initialization.</summary>
    internal bool HasMpiOfSlurm { get; init; }

    /// <summary>A note for the user about how this process was started; null if nothing is unusual.</summary>
    public string? Warning { get; init; }

    /// <summary>Reads the environment of this process.</summary>
    /// <exception cref="InvalidDataException">Variables are missing, malformed or contradictory; the message lists them
    /// all.</exception>
    public static Rendezvous FromEnvironment() => From(Environment.GetEnvironmentVariable);

    /// <summary>Reads variables from <paramref name="variable"/>, which returns null for those that are not
    /// set.</summary>
    /// <exception cref="InvalidDataException">As in <see cref="FromEnvironment"/>.</exception>
    public static Rendezvous From(Func<string, string?> variable)
    {
        var variables = new LauncherVariables(variable);
        var found =
            variables.Has("TORCHELASTIC_RUN_ID")
            || (variables.Has(LocalLauncher.ParentVariable) && variables.Has("RANK"))
                ? Plain(variables)
            : variables.Has("OMPI_COMM_WORLD_RANK") ? OpenMpi(variables)
            : variables.Has("PMI_RANK") ? Pmi(variables)
            : variables.Has("RANK") || variables.Has("WORLD_SIZE") ? Plain(variables)
            : variables.Has("SLURM_PROCID") ? Slurm(variables)
            : new Rendezvous(Launcher.None, 0, 1, 0);
        found = found with { RootAddress = NcclRootAddress.Find(variables, found.Launcher) };
        variables.ThrowProblems();
        return found;
    }

    /// <summary>Makes only the GPU of its <see cref="LocalRank"/> visible to this process, so that it is device 0
    /// everywhere in the program.</summary>
    /// <remarks>Call it before libtorch is loaded. Does nothing for a world of one, or if the launcher already shows
    /// each rank one GPU.</remarks>
    public void ShowOwnGpu()
    {
        const string Variable = "CUDA_VISIBLE_DEVICES";
        if (WorldSize == 1)
        {
            return;
        }

        if (Environment.GetEnvironmentVariable(Variable) is not { Length: > 0 } visible)
        {
            HostProcess.SetVariable(Variable, LocalRank.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
        else if (
            visible.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                is { Length: > 1 } gpus
            && LocalRank < gpus.Length
        )
        {
            HostProcess.SetVariable(Variable, gpus[LocalRank]);
        }
    }

    /// <summary>The device of this rank; for GPUs, the visible one with index <see cref="LocalRank"/>.</summary>
    /// <param name="type">CPU or CUDA.</param>
    /// <exception cref="InvalidDataException">This host has fewer GPUs than ranks.</exception>
    public Device Device(DeviceType type)
    {
        if (type != DeviceType.CUDA)
        {
            return new Device(type);
        }

        var visible = cuda.device_count();
        return LocalRank < visible ? new Device(type, LocalRank)
            : visible == 1 ? new Device(type, 0)
            : throw new InvalidDataException(
                $"Rank {Rank} of {WorldSize} is number {LocalRank} on its host, which has {visible} visible "
                    + "GPUs. Start one rank per GPU on each host."
            );
    }

    /// <summary>Connects with the other ranks.</summary>
    /// <param name="device">CPU or CUDA; with several ranks, <see cref="LocalRank"/> selects the GPU.</param>
    /// <param name="options">Options; null: the defaults.</param>
    /// <param name="backend">The backend; null: <see cref="SingleRank"/> for one rank, <see cref="Nccl"/> for GPUs,
    /// <see cref="Mpi"/> for CPUs.</param>
    /// <returns>This rank's collectives; the caller disposes them, preferably through <see cref="RankRun"/>.</returns>
    /// <exception cref="InvalidDataException">The launcher does not support the backend; the message says how to start
    /// instead.</exception>
    /// <exception cref="DllNotFoundException">The backend's library is not installed.</exception>
    public ICollectives Connect(Device device, CollectivesOptions? options = null, BackendKind? backend = null)
    {
        ParentWatch.StartIfLaunched();
        options ??= new CollectivesOptions();
        var kind =
            backend
            ?? (
                WorldSize == 1 ? BackendKind.Single
                : device.type == DeviceType.CUDA ? BackendKind.Nccl
                : BackendKind.Mpi
            );
        return kind switch
        {
            BackendKind.Single when WorldSize == 1 => new SingleRank(device),
            BackendKind.Single => throw new ArgumentException(
                $"A single rank was requested, but {Launcher} started {WorldSize}.",
                nameof(backend)
            ),
            BackendKind.Mpi => ConnectMpi(options),
            _ => ConnectNccl(WorldSize == 1 ? device : Device(device.type), options),
        };
    }

    private bool StartedByMpi => Launcher is Launcher.OpenMpi or Launcher.Pmi;

    private Mpi ConnectMpi(CollectivesOptions options)
    {
        if (Launcher is Launcher.Torchrun or Launcher.Variables && WorldSize > 1)
        {
            throw new InvalidDataException(
                $"{WorldSize} ranks on CPUs need MPI, which "
                    + $"{(Launcher == Launcher.Torchrun ? "torchrun" : "what set RANK and WORLD_SIZE")} does not "
                    + $"start. Use: mpirun -n {WorldSize} glmtune ..., or on one machine: glmtune train "
                    + $"--nproc-per-node {WorldSize} ..."
            );
        }

        if (Launcher == Launcher.Slurm && !HasMpiOfSlurm && WorldSize > 1 && MpiLibrary.Current.IsOpenMpi)
        {
            throw new InvalidDataException(
                $"{WorldSize} ranks on CPUs need MPI, which srun starts only if told which one. {MpiOfSlurm}"
            );
        }

        var ranks = Mpi.Connect(options);
        if (ranks.WorldSize != WorldSize || ranks.Rank != Rank)
        {
            throw new InvalidDataException(
                $"The environment says rank {Rank} of {WorldSize}, but MPI ({MpiLibrary.Current.Name}) says "
                    + $"{ranks.Rank} of {ranks.WorldSize}. "
                    + (
                        Launcher == Launcher.Slurm
                            ? MpiOfSlurm
                            : "The launcher belongs to a different MPI than the library; load the matching "
                                + "module, or set GLMTUNE_MPI to the library file."
                    )
            );
        }

        return ranks;
    }

    private Nccl ConnectNccl(Device device, CollectivesOptions options)
    {
        if (StartedByMpi && WorldSize > 1)
        {
            return Nccl.Connect(ConnectMpi(options), device, options);
        }

        if (WorldSize > 1 && RootAddress is null)
        {
            throw new InvalidDataException(
                $"{WorldSize} ranks on GPUs need a rendezvous address: set MASTER_ADDR to rank 0's host and "
                    + "MASTER_PORT to a free port there, on all ranks."
            );
        }

        return Nccl.Connect(Rank, WorldSize, device, RootAddress, options);
    }

    private static Rendezvous Plain(LauncherVariables variables)
    {
        var launcher = variables.Has("TORCHELASTIC_RUN_ID") ? Launcher.Torchrun : Launcher.Variables;
        var rank = variables.Required("RANK", "WORLD_SIZE is");
        var size = variables.Required("WORLD_SIZE", "RANK is", least: 1);
        variables.RequireWithin("RANK", rank, "WORLD_SIZE", size);
        var localSize = variables.Number("LOCAL_WORLD_SIZE", least: 1);
        var local =
            size == 1 && !variables.Has("LOCAL_RANK") ? 0 : variables.Required("LOCAL_RANK", "WORLD_SIZE is above 1");
        variables.RequireWithin(
            "LOCAL_RANK",
            local,
            localSize is null ? "WORLD_SIZE" : "LOCAL_WORLD_SIZE",
            localSize ?? size
        );
        return new Rendezvous(launcher, rank, size, local) { LocalWorldSize = localSize };
    }

    private static Rendezvous OpenMpi(LauncherVariables variables) =>
        ByMpi(
            variables,
            Launcher.OpenMpi,
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_LOCAL_SIZE"
        );

    private static Rendezvous Pmi(LauncherVariables variables) =>
        ByMpi(
            variables,
            Launcher.Pmi,
            "PMI_RANK",
            "PMI_SIZE",
            variables.Has("MPI_LOCALRANKID") || !variables.Has("SLURM_LOCALID") ? "MPI_LOCALRANKID" : "SLURM_LOCALID",
            "MPI_LOCALNRANKS"
        );

    private static Rendezvous ByMpi(
        LauncherVariables variables,
        Launcher launcher,
        string rankName,
        string sizeName,
        string localName,
        string localSizeName
    )
    {
        var rank = variables.Required(rankName, $"{sizeName} is");
        var size = variables.Required(sizeName, $"{rankName} is", least: 1);
        variables.RequireWithin(rankName, rank, sizeName, size);
        variables.RequireAgreement("RANK", rank, rankName);
        variables.RequireAgreement("WORLD_SIZE", size, sizeName);
        var local = variables.Number(localName) ?? variables.Number("LOCAL_RANK") ?? 0;
        variables.RequireAgreement("LOCAL_RANK", local, localName);
        var localSize = variables.Number(localSizeName, least: 1);
        variables.RequireWithin(localName, local, localSize is null ? sizeName : localSizeName, localSize ?? size);
        return new Rendezvous(launcher, rank, size, local) { LocalWorldSize = localSize };
    }

    private static Rendezvous Slurm(LauncherVariables variables)
    {
        // A batch script sees its job's SLURM_NTASKS and a SLURM_PROCID of 0 without being one of the tasks; only srun
        // creates steps.
        var stepSize =
            variables.Has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS"
            : variables.Has("SLURM_STEP_ID") || variables.Has("SLURM_STEPID") ? "SLURM_NTASKS"
            : null;
        if (stepSize is null)
        {
            var alone = new Rendezvous(Launcher.None, 0, 1, 0);
            return variables.Number("SLURM_NTASKS", least: 1) is > 1 and var tasks
                ? alone with
                {
                    Warning =
                        $"Slurm allocated {tasks} tasks, but this process was not started by srun and runs "
                        + $"alone. For {tasks} ranks, put srun before the command.",
                }
                : alone;
        }

        var rank = variables.Required("SLURM_PROCID", "SLURM_STEP_ID is");
        var size = variables.Required(stepSize, "SLURM_PROCID is", least: 1);
        variables.RequireWithin("SLURM_PROCID", rank, stepSize, size);
        var local =
            size == 1 ? variables.Number("SLURM_LOCALID") ?? 0 : variables.Required("SLURM_LOCALID", "SLURM_PROCID is");
        variables.RequireWithin("SLURM_LOCALID", local, stepSize, size);
        return new Rendezvous(Launcher.Slurm, rank, size, local)
        {
            HasMpiOfSlurm = variables.Has("PMIX_RANK") || variables.Has("PMI_FD"),
        };
    }
}
