using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>The arguments of one call while they are generated: one JSON object, and nothing after its last
/// brace.</summary>
internal sealed class StreamedArguments(string name)
{
    private readonly StringBuilder arguments = new();
    private int depth;
    private bool inString;
    private bool escaped;
    private bool whole;

    /// <summary>Adds text.</summary>
    /// <param name="text">The new text; the first piece starts with the opening brace.</param>
    /// <returns>The part that belongs to the arguments.</returns>
    public string Read(string text)
    {
        var place = 0;
        while (place < text.Length && !whole)
        {
            var c = text[place++];
            if (inString)
            {
                (inString, escaped) = (c != '"' || escaped, c == '\\' && !escaped);
            }
            else
            {
                inString = c == '"';
                depth +=
                    c is '{' or '[' ? 1
                    : c is '}' or ']' ? -1
                    : 0;
                whole = depth == 0;
            }
        }

        arguments.Append(text, 0, place);
        return text[..place];
    }

    /// <summary>The call so far.</summary>
    public ParsedAnswer ToAnswer()
    {
        var text = arguments.ToString();
        return new ParsedAnswer(
            new Message(Role.Assistant, text) { Metadata = name },
            new ToolCall(name, text, ToolCallStyle.Native)
        );
    }
}
