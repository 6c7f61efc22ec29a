namespace GlmTune.Inference;

/// <summary>A pass of the model failed, out of memory perhaps.</summary>
/// <param name="rows">The rows that cannot be answered because of it.</param>
/// <param name="cause">What happened.</param>
internal sealed class PassFailedException(IReadOnlyList<GenerationRow> rows, Exception cause)
    : Exception(cause.Message, cause)
{
    public IReadOnlyList<GenerationRow> Rows => rows;

    public Exception Cause => InnerException!;
}
