using GlmTune.Data.Conversations;

namespace GlmTune.Data.Checking;

/// <summary>The kinds of findings of a data check.</summary>
internal enum FindingKind
{
    /// <summary>The row cannot be read; training refuses or skips it.</summary>
    BadRow,

    /// <summary>The row has no supervised tokens; training refuses or skips it.</summary>
    NothingLearnt,

    /// <summary>Truncation removes a supervised end token, so the row does not teach the model when to stop.</summary>
    LostEnd,

    /// <summary>Truncation removes tokens, but no supervised end token.</summary>
    Cut,

    /// <summary>A message has no content and therefore no effect.</summary>
    EmptyMessage,

    /// <summary>A call to a tool that the system message does not declare.</summary>
    UndeclaredTool,

    /// <summary>A call whose arguments do not match the tool's schema.</summary>
    WrongArguments,

    /// <summary>A tool's schema cannot be read, so its calls are not checked.</summary>
    BadSchema,

    /// <summary>An observation that does not follow a call.</summary>
    ObservationWithoutCall,

    /// <summary>An answer without thoughts, for a model that thinks before each answer.</summary>
    NoThoughts,

    /// <summary>Content includes the text of a special token: an injection, or a row that was already
    /// rendered.</summary>
    SpecialText,
}

/// <summary>One finding of a data check.</summary>
/// <param name="Kind">The kind of finding.</param>
/// <param name="Problem">Where it is, and what is wrong.</param>
internal sealed record Finding(FindingKind Kind, DataProblem Problem)
{
    /// <summary>Whether training cannot use the row; other findings are advice.</summary>
    public bool IsError => Kind is FindingKind.BadRow or FindingKind.NothingLearnt;
}
