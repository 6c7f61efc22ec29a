using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>The arguments of one call, read as they come: one JSON object, and nothing after its last brace.</summary>
internal sealed class StreamedArguments(string name)
{
    private readonly StringBuilder arguments = new();
    private int depth;
    private bool inString;
    private bool escaped;
    private bool whole;

    /// <summary>Reads on.</summary>
    /// <param name="text">What came; at first it begins with the first brace.</param>
    /// <returns>What of it belongs to the arguments.</returns>
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

    /// <summary>The call as far as it came.</summary>
    public ParsedAnswer ToAnswer()
    {
        var text = arguments.ToString();
        return new ParsedAnswer(
            new Message(Role.Assistant, text) { Metadata = name },
            new ToolCall(name, text, ToolCallStyle.Native)
        );
    }
}
