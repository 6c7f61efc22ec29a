using GlmTune.Data.Conversations;

namespace GlmTune.Data.Checking;

/// <summary>What a check of data finds.</summary>
public enum FindingKind
{
    /// <summary>The row cannot be read; training stops at it or leaves it out.</summary>
    BadRow,

    /// <summary>The row has no supervised tokens; training stops at it or leaves it out.</summary>
    NothingLearnt,

    /// <summary>Truncation removes a supervised end token, so the row does not teach the model when to stop.</summary>
    LostEnd,

    /// <summary>Truncation removes tokens, but no supervised end token.</summary>
    Cut,

    /// <summary>A message has no content and adds nothing.</summary>
    EmptyMessage,

    /// <summary>A call of a tool that the system message does not declare.</summary>
    UndeclaredTool,

    /// <summary>A call whose arguments are not what the tool's schema says.</summary>
    WrongArguments,

    /// <summary>A tool's schema cannot be read, so its calls are not checked.</summary>
    BadSchema,

    /// <summary>An observation that follows no call.</summary>
    ObservationWithoutCall,

    /// <summary>Content holds the text of a special token: an attack, or a row that was rendered already.</summary>
    SpecialText,
}

/// <summary>One thing that a check found.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Problem">Where, and what about it.</param>
public sealed record Finding(FindingKind Kind, DataProblem Problem)
{
    /// <summary>Whether training cannot use the row; other findings are advice.</summary>
    public bool IsError => Kind is FindingKind.BadRow or FindingKind.NothingLearnt;
}
