using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>Separates a model's thoughts from its answer, as they are generated.</summary>
/// <remarks>The concatenated thoughts are trimmed. Held back are: white space that may be their end, and text that may
/// become <c>&lt;think&gt;</c> or <c>&lt;/think&gt;</c>. Not thread-safe: use one per answer.</remarks>
/// <param name="state">Where the output begins.</param>
internal sealed class ThoughtStream(ThoughtStream.State state)
{
    internal enum State
    {
        /// <summary>Thoughts may come: the output is undecided until it begins with <c>&lt;think&gt;</c> or with other
        /// text.</summary>
        Undecided,

        /// <summary>Before the end of the thoughts.</summary>
        Thoughts,

        /// <summary>After them.</summary>
        Answer,
    }

    private readonly StringBuilder held = new(); // Not yet known to be thoughts or not.
    private bool begun; // Whether a visible character of the current part was seen.
    private bool hadThoughts;

    /// <summary>Whether the thoughts are not over.</summary>
    public bool IsThinking => state == State.Thoughts;

    /// <summary>Adds output of the model.</summary>
    /// <returns>New text of the thoughts, and of what follows them; both may be empty.</returns>
    public (string Thoughts, string Answer) Add(string text)
    {
        if (state == State.Answer && !hadThoughts)
        {
            return ("", text);
        }

        held.Append(text);
        var thought = "";
        if (state == State.Undecided && !Decide())
        {
            return ("", "");
        }

        if (state == State.Thoughts)
        {
            thought = Think();
        }

        return (thought, state == State.Answer ? Answer() : "");
    }

    /// <summary>Ends the output.</summary>
    /// <returns>Text that was held back.</returns>
    public (string Thoughts, string Answer) Finish()
    {
        var rest = held.ToString();
        held.Clear();
        return state == State.Thoughts ? (Begun(rest).TrimEnd(), "") : ("", state == State.Undecided ? rest : "");
    }

    // Whether it is known now how the output begins.
    private bool Decide()
    {
        var text = held.ToString();
        var start = text.TrimStart();
        if (start.StartsWith(Thoughts.Open, StringComparison.Ordinal))
        {
            held.Remove(0, text.Length - start.Length + Thoughts.Open.Length);
            state = State.Thoughts;
            return true;
        }

        if (Thoughts.Open.StartsWith(start, StringComparison.Ordinal))
        {
            return false;
        }

        state = State.Answer;
        return true;
    }

    private string Think()
    {
        hadThoughts = true;
        const string Close = Thoughts.Close;
        var text = held.ToString();
        var end = text.IndexOf(Close, StringComparison.Ordinal);
        if (end >= 0)
        {
            held.Remove(0, end + Close.Length);
            var last = Begun(text[..end]).TrimEnd();
            (state, begun) = (State.Answer, false);
            return last;
        }

        var certain = text.Length;
        for (var length = Math.Min(text.Length, Close.Length - 1); length > 0; length--)
        {
            if (text.EndsWith(Close[..length], StringComparison.Ordinal))
            {
                certain -= length;
                break;
            }
        }

        certain = text.AsSpan(0, certain).TrimEnd().Length;
        held.Remove(0, certain);
        return Begun(text[..certain]);
    }

    // The white space between thoughts and answer belongs to neither.
    private string Answer()
    {
        var text = held.ToString();
        held.Clear();
        return hadThoughts ? Begun(text) : text;
    }

    private string Begun(string text)
    {
        if (begun)
        {
            return text;
        }

        text = text.TrimStart();
        begun = text.Length > 0;
        return text;
    }
}
