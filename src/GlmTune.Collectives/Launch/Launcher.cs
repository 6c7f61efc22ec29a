namespace GlmTune.Collectives;

/// <summary>The launchers of ranks.</summary>
internal enum Launcher
{
    /// <summary>None: this process is the only rank.</summary>
    None,

    /// <summary><c>torchrun --no-python</c>.</summary>
    Torchrun,

    /// <summary>Any program that sets RANK, WORLD_SIZE and LOCAL_RANK, such as <c>glmtune train
    /// --nproc-per-node</c>.</summary>
    Variables,

    /// <summary>Open MPI's <c>mpirun</c>.</summary>
    OpenMpi,

    /// <summary><c>mpirun</c> or <c>mpiexec</c> of another MPI that uses PMI: MPICH, Intel MPI.</summary>
    Pmi,

    /// <summary><c>srun</c>.</summary>
    Slurm,
}
