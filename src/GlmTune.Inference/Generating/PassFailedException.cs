namespace GlmTune.Inference;

/// <summary>A forward pass failed, for example because memory ran out.</summary>
/// <param name="rows">The rows that cannot be answered because of it.</param>
/// <param name="cause">The error.</param>
internal sealed class PassFailedException(IReadOnlyList<GenerationRow> rows, Exception cause)
    : Exception(cause.Message, cause)
{
    public IReadOnlyList<GenerationRow> Rows => rows;

    public Exception Cause => InnerException!;
}
