namespace GlmTune.Data.Conversations;

/// <summary>Why the results of tools cannot be matched with their calls.</summary>
/// <param name="Message">Index of the message that is wrong.</param>
/// <param name="Field">The field that is wrong: <c>tool_call_id</c> of a result, or <c>tool_calls</c>.</param>
/// <param name="Text">The problem, in words that follow the field's name, without a full stop.</param>
internal sealed record ToolResultProblem(int Message, string Field, string Text)
{
    /// <summary>The field of a result that names its call.</summary>
    public const string ResultField = "tool_call_id";

    /// <summary>The field of a message that holds its calls.</summary>
    public const string CallsField = "tool_calls";
}
