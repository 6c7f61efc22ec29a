using System.Text;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Recipes.Exporting;

/// <summary>Writes a chat template in the form that Ollama reads (Go's text/template).</summary>
/// <remarks>The texts around messages are found by rendering conversations, so that any template of this shape works:
/// a start, a fixed text before each role's messages, and a text that asks for an answer. Tools are left out: GLM-4 was
/// trained on their definitions as indented JSON, which Ollama's templates cannot write.</remarks>
internal static class OllamaTemplate
{
    private const string System = "Sys1tem";
    private const string Question = "Ques2tion";
    private const string Answer = "Ans3wer";
    private const string Next = "Ne4xt";

    /// <summary>The template; null if a model's own chat template has another shape.</summary>
    /// <param name="template">The chat template.</param>
    public static string? Write(Glm4Template template)
    {
        if (Find(template) is not { } frame)
        {
            return null;
        }

        var text = new StringBuilder(frame.Start).Append("{{ range .Messages }}");
        var first = true;
        foreach (var (role, header) in frame.Headers)
        {
            text.Append($"{{{{ {(first ? "" : "else ")}if eq .Role \"{role}\" }}}}{header}{{{{ .Content }}}}");
            first = false;
        }

        return text.Append("{{ end }}{{ end }}").Append(frame.Prompt).ToString();
    }

    private static Frame? Find(Glm4Template template)
    {
        var full = new Message[]
        {
            new(Role.System, System),
            new(Role.User, Question),
            new(Role.Assistant, Answer),
            new(Role.User, Next),
        };
        string long4,
            short1;
        try
        {
            long4 = Render(template, full);
            short1 = Render(template, [full[3]]);
        }
        catch (InvalidDataException)
        {
            return null; // it refuses plain conversations
        }

        if (
            Cut(long4, System, Question, Answer, Next)
                is not [var beforeSystem, var user, var assistant, var next, var prompt]
            || Cut(short1, Next) is not [var beforeUser, var samePrompt]
            || user != next
            || prompt != samePrompt
            || !beforeUser.EndsWith(user, StringComparison.Ordinal)
        )
        {
            return null;
        }

        var start = beforeUser[..^user.Length];
        if (!beforeSystem.StartsWith(start, StringComparison.Ordinal))
        {
            return null;
        }

        // The model begins a plain answer with the line break that its own answers in the conversation begin with.
        prompt = assistant.StartsWith(prompt, StringComparison.Ordinal) ? assistant : prompt;
        var frame = new Frame(
            start,
            [("system", beforeSystem[start.Length..]), ("user", user), ("assistant", assistant)],
            prompt
        );
        var texts = frame.Headers.Select(header => header.Text).Append(start).Append(prompt);
        return texts.Any(text =>
            text.Contains("{{", StringComparison.Ordinal) || text.Contains("\"\"\"", StringComparison.Ordinal)
        )
            ? null
            : frame;
    }

    private static string Render(Glm4Template template, Message[] messages) =>
        template.Tokenizer.Decode(template.RenderPrompt(new Conversation(messages)), skipSpecial: false);

    // The texts around the given texts, which occur once each and in this order; empty if they do not.
    private static List<string> Cut(string text, params string[] at)
    {
        List<string> parts = [];
        foreach (var piece in at)
        {
            var place = text.IndexOf(piece, StringComparison.Ordinal);
            if (place < 0)
            {
                return [];
            }

            parts.Add(text[..place]);
            text = text[(place + piece.Length)..];
        }

        return at.Any(piece => text.Contains(piece, StringComparison.Ordinal)) ? [] : [.. parts, text];
    }

    private sealed record Frame(string Start, IReadOnlyList<(string Role, string Text)> Headers, string Prompt);
}
