namespace GlmTune.Collectives;

/// <summary>Something failed on one rank or more, and every rank knows: each throws this at the same place, so the run
/// ends in order.</summary>
/// <remarks>Expected, as bad files are: the command line prints the message alone, on rank 0, and ends with
/// <see cref="ExitCode"/>.</remarks>
public sealed class SharedFailureException : Exception
{
    /// <summary>Code with which every process ends.</summary>
    public const int ExitCode = 2;

    /// <summary>An exception without a message.</summary>
    public SharedFailureException() { }

    /// <summary>An exception with the same message on all ranks.</summary>
    public SharedFailureException(string message)
        : base(message) { }

    /// <summary>An exception with the same message on all ranks, caused by what this rank threw, if it did.</summary>
    public SharedFailureException(string message, Exception? innerException)
        : base(message, innerException) { }

    /// <summary>The message of all ranks: what all say once, else what each says under its number.</summary>
    /// <param name="said">What each rank says; empty for those that did not fail.</param>
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
