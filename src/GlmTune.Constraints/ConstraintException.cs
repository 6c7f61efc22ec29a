namespace GlmTune.Constraints;

/// <summary>A constraint that cannot be enforced at runtime because a schema is too ambiguous.</summary>
internal sealed class ConstraintException(string message) : Exception(message);
