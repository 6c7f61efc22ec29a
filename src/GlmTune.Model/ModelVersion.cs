namespace GlmTune.Model;

/// <summary>Counts the changes of one model that a captured pass does not survive. Not thread-safe.</summary>
public sealed class ModelVersion
{
    /// <summary>Changes so far.</summary>
    public long Value { get; private set; }

    /// <summary>Counts one more.</summary>
    internal void Bump() => Value++;
}
