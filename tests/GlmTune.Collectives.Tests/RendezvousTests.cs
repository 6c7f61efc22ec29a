using GlmTune.Collectives.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

public class RendezvousTests
{
    private const string Torchrun =
        "TORCHELASTIC_RUN_ID=none RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 MASTER_ADDR=node1 "
        + "MASTER_PORT=29500";
    private const string OpenMpi =
        "OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=4";
    private const string Hydra = "PMI_RANK=5 PMI_SIZE=8 PMI_FD=9 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=4";
    private const string Srun =
        "SLURM_JOB_ID=1007 SLURM_STEP_ID=0 SLURM_PROCID=5 SLURM_NTASKS=8 SLURM_STEP_NUM_TASKS=8 SLURM_LOCALID=1 "
        + "SLURM_STEP_NODELIST=gpu-[003-004]";

    // 20000 + (31 * 1007 + step 0) mod 10000 = 21217
    [Theory]
    [InlineData("", Launcher.None, 0, 1, 0, null, null)]
    [InlineData("MASTER_ADDR=node1 MASTER_PORT=29500", Launcher.None, 0, 1, 0, null, "node1:29500")]
    [InlineData(Torchrun, Launcher.Torchrun, 5, 8, 1, 4, "node1:29501")]
    [InlineData(
        "RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 MASTER_ADDR=node1 MASTER_PORT=29500",
        Launcher.Variables,
        5,
        8,
        1,
        null,
        "node1:29500"
    )]
    [InlineData("RANK=0 WORLD_SIZE=1", Launcher.Variables, 0, 1, 0, null, null)]
    [InlineData(OpenMpi, Launcher.OpenMpi, 5, 8, 1, 4, null)]
    [InlineData(OpenMpi + " RANK=5 WORLD_SIZE=8 LOCAL_RANK=1", Launcher.OpenMpi, 5, 8, 1, 4, null)]
    [InlineData(Hydra, Launcher.Pmi, 5, 8, 1, 4, null)]
    [InlineData(Srun, Launcher.Slurm, 5, 8, 1, null, "gpu-003:21217")]
    [InlineData(Srun + " MASTER_ADDR=fd00::2 MASTER_PORT=4000", Launcher.Slurm, 5, 8, 1, null, "[fd00::2]:4000")]
    [InlineData(Srun + " NCCL_COMM_ID=10.0.0.1:77", Launcher.Slurm, 5, 8, 1, null, "10.0.0.1:77")]
    [InlineData(Srun + " PMI_RANK=5 PMI_SIZE=8", Launcher.Pmi, 5, 8, 1, null, null)]
    // torchrun and mpirun started once a node by srun: the inner one counts.
    [InlineData(
        "SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_LOCALID=0 " + Torchrun,
        Launcher.Torchrun,
        5,
        8,
        1,
        4,
        "node1:29501"
    )]
    [InlineData(
        "SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_LOCALID=0 " + OpenMpi,
        Launcher.OpenMpi,
        5,
        8,
        1,
        4,
        null
    )]
    [InlineData(
        "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=0 " + Torchrun,
        Launcher.Torchrun,
        5,
        8,
        1,
        4,
        "node1:29501"
    )]
    [InlineData(
        "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1 GLMTUNE_LAUNCHER_PID=77 RANK=3 WORLD_SIZE=4 LOCAL_RANK=3 "
            + "NCCL_COMM_ID=127.0.0.1:9",
        Launcher.Variables,
        3,
        4,
        3,
        null,
        "127.0.0.1:9"
    )]
    // Slurm before its steps had SLURM_STEP_NUM_TASKS, and a batch script without srun.
    [InlineData("SLURM_STEPID=0 SLURM_PROCID=5 SLURM_NTASKS=8 SLURM_LOCALID=1", Launcher.Slurm, 5, 8, 1, null, null)]
    [InlineData("SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_LOCALID=0", Launcher.None, 0, 1, 0, null, null)]
    internal void Launchers_are_understood(
        string variables,
        Launcher launcher,
        int rank,
        int worldSize,
        int localRank,
        int? localWorldSize,
        string? rootAddress
    )
    {
        var found = Read(variables);
        Assert.Equal(
            new Rendezvous(launcher, rank, worldSize, localRank)
            {
                LocalWorldSize = localWorldSize,
                RootAddress = rootAddress,
            },
            found with
            {
                Warning = null,
            }
        );
    }

    [Theory]
    [InlineData("RANK=1", "WORLD_SIZE is not set, but RANK is")]
    [InlineData("WORLD_SIZE=4", "RANK is not set, but WORLD_SIZE is")]
    [InlineData("RANK=1 WORLD_SIZE=4", "LOCAL_RANK is not set, but WORLD_SIZE is above 1")]
    [InlineData("RANK=4 WORLD_SIZE=4 LOCAL_RANK=0", "RANK is 4 and WORLD_SIZE is 4; ranks range from 0 to 3")]
    [InlineData(
        "RANK=3 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=2",
        "LOCAL_RANK is 2 and LOCAL_WORLD_SIZE is 2; ranks range from 0 to 1"
    )]
    [InlineData("RANK=-1 WORLD_SIZE=4 LOCAL_RANK=0", "RANK is '-1'; expected a whole number of at least 0")]
    [InlineData("RANK=0 WORLD_SIZE=0 LOCAL_RANK=0", "WORLD_SIZE is '0'; expected a whole number of at least 1")]
    [InlineData(
        "RANK=a WORLD_SIZE=b LOCAL_RANK=0",
        "RANK is 'a'; expected a whole number of at least 0. WORLD_SIZE is 'b'; expected a whole number of at least 1"
    )]
    [InlineData(
        "RANK=0 WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=a MASTER_PORT=70000",
        "MASTER_PORT is '70000'; expected a whole number from 1 to 65535"
    )]
    [InlineData(OpenMpi + " RANK=4", "RANK is 4 but OMPI_COMM_WORLD_RANK is 5; unset RANK, or make them equal")]
    [InlineData(
        OpenMpi + " WORLD_SIZE=2",
        "WORLD_SIZE is 2 but OMPI_COMM_WORLD_SIZE is 8; unset WORLD_SIZE, or make them equal"
    )]
    [InlineData(
        Hydra + " RANK=4 WORLD_SIZE=2",
        "RANK is 4 but PMI_RANK is 5; unset RANK, or make them equal. WORLD_SIZE is 2 but PMI_SIZE is 8"
    )]
    [InlineData("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE is not set, but OMPI_COMM_WORLD_RANK is")]
    [InlineData(
        "SLURM_STEP_ID=0 SLURM_PROCID=8 SLURM_NTASKS=8 SLURM_LOCALID=0",
        "SLURM_PROCID is 8 and SLURM_NTASKS is 8"
    )]
    [InlineData("SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=8", "SLURM_LOCALID is not set, but SLURM_PROCID is")]
    public void Contradictions_are_named(string variables, string expected)
    {
        var message = Assert.Throws<InvalidDataException>(() => Read(variables)).Message;
        Assert.StartsWith("The environment does not define the rank of this process: ", message);
        Assert.Contains(expected, message);
    }

    [Fact]
    public void A_batch_script_without_srun_is_warned() =>
        Assert.Contains("put srun before the command", Read("SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=8").Warning);

    [Theory]
    [InlineData("node7", "node7")]
    [InlineData("node7,node8", "node7")]
    [InlineData("gpu-[003-005,9]", "gpu-003")]
    [InlineData("gpu[12,14-15],login", "gpu12")]
    [InlineData("login,gpu[12-14]", "login")]
    [InlineData("r[1-2]-n[04-07]-ib,x", "r1-n04-ib")]
    public void The_first_of_slurms_hosts_is_found(string nodes, string first) =>
        Assert.Equal(first, NcclRootAddress.FirstHost(nodes));

    [Fact]
    public void One_rank_on_a_cpu_needs_no_backend()
    {
        using var ranks = Read("").Connect(CPU);
        Assert.IsType<SingleRank>(ranks);
    }

    [Theory]
    [InlineData(Torchrun, "torchrun does not start")]
    [InlineData("RANK=1 WORLD_SIZE=2 LOCAL_RANK=1", "what set RANK and WORLD_SIZE does not start")]
    public void Cpu_ranks_without_mpi_are_told_how_to_start(string variables, string expected)
    {
        var message = Assert.Throws<InvalidDataException>(() => Read(variables).Connect(CPU)).Message;
        Assert.Contains(expected, message);
        Assert.Contains("mpirun -n", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_mpis_ranks_are_told_which_plugin_of_slurm_they_need()
    {
        Assert.SkipUnless(
            MpiLibrary.Exists && MpiLibrary.Current.IsOpenMpi,
            "Open MPI is not installed (Debian: openmpi-bin)."
        );
        var message = Assert
            .Throws<InvalidDataException>(() =>
                Read("SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_LOCALID=0").Connect(CPU)
            )
            .Message;
        Assert.Contains("srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH)", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Gpu_ranks_without_a_place_to_meet_are_told_to_name_one() =>
        Assert.Contains(
            "MASTER_ADDR",
            Assert
                .Throws<InvalidDataException>(() =>
                    Read("RANK=1 WORLD_SIZE=2 LOCAL_RANK=0")
                        .Connect(new Device(DeviceType.CUDA, 0), backend: BackendKind.Nccl)
                )
                .Message
                + Assert
                    .Throws<InvalidDataException>(() =>
                        Read("SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_LOCALID=0")
                            .Connect(CPU, backend: BackendKind.Nccl)
                    )
                    .Message
        );

    private static Rendezvous Read(string variables)
    {
        var table = variables
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(pair => pair.Split('=', 2))
            .ToDictionary(pair => pair[0], pair => pair[1]);
        return Rendezvous.From(table.GetValueOrDefault);
    }
}
