namespace GlmTune.Collectives;

/// <summary>The available backends.</summary>
internal enum BackendKind
{
    /// <summary>No communication: a single rank. <see cref="SingleRank"/>.</summary>
    Single,

    /// <summary>MPI, between CPUs. <see cref="Mpi"/>.</summary>
    Mpi,

    /// <summary>NCCL, between GPUs; also for a single rank. <see cref="Nccl"/>.</summary>
    Nccl,
}
