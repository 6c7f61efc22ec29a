namespace GlmTune.Model;

/// <summary>Counts the changes of a model that invalidate captured passes. Not thread-safe.</summary>
internal sealed class ModelVersion
{
    /// <summary>Number of changes so far.</summary>
    public long Value { get; private set; }

    /// <summary>Counts a change.</summary>
    internal void Bump() => Value++;
}
