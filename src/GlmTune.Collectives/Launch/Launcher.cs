namespace GlmTune.Collectives;

/// <summary>What started the ranks.</summary>
public enum Launcher
{
    /// <summary>Nothing: this process is the only rank.</summary>
    None,

    /// <summary><c>torchrun --no-python</c>.</summary>
    Torchrun,

    /// <summary>Whatever set RANK, WORLD_SIZE and LOCAL_RANK, such as <c>glmtune train --nproc-per-node</c>.</summary>
    Variables,

    /// <summary>Open MPI's <c>mpirun</c>.</summary>
    OpenMpi,

    /// <summary>Another MPI's <c>mpirun</c> or <c>mpiexec</c> that speaks PMI: MPICH, Intel MPI.</summary>
    Pmi,

    /// <summary><c>srun</c>.</summary>
    Slurm,
}
