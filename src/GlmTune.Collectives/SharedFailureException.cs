namespace GlmTune.Collectives;

/// <summary>A failure on one or more ranks that every rank knows about: each throws this exception at the same point,
/// so the run ends in an orderly way.</summary>
/// <remarks>An expected error, like a bad file: the command line prints only the message, on rank 0, and exits with
/// <see cref="ExitCode"/>.</remarks>
internal sealed class SharedFailureException : Exception
{
    /// <summary>Exit code of every process.</summary>
    public const int ExitCode = 2;

    /// <summary>An exception without a message.</summary>
    public SharedFailureException() { }

    /// <summary>An exception with the same message on all ranks.</summary>
    public SharedFailureException(string message)
        : base(message) { }

    /// <summary>An exception with the same message on all ranks, caused by this rank's own exception if it has
    /// one.</summary>
    public SharedFailureException(string message, Exception? innerException)
        : base(message, innerException) { }

    /// <summary>Combines the messages of the ranks: once if they are equal, otherwise each with its rank.</summary>
    /// <param name="said">The message of each rank; empty for ranks that did not fail.</param>
    internal static string Join(IReadOnlyList<string> said) =>
        said.Distinct().Count() == 1
            ? said[0]
            : string.Join(
                '\n',
                said.Index()
                    .Where(one => one.Item.Length > 0)
                    .Select(one => $"Rank {one.Index} of {said.Count}: {one.Item}")
            );
}
