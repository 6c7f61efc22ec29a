namespace GlmTune.Collectives;

/// <summary>What carries the ranks' messages.</summary>
public enum BackendKind
{
    /// <summary>Nothing: there is one rank. <see cref="SingleRank"/>.</summary>
    Single,

    /// <summary>MPI, between CPUs. <see cref="Mpi"/>.</summary>
    Mpi,

    /// <summary>NCCL, between GPUs; a world of one too. <see cref="Nccl"/>.</summary>
    Nccl,
}
