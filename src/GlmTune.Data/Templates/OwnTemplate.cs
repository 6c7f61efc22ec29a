using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates.Jinja;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>A part of a conversation as token ids.</summary>
/// <param name="Message">The message that it shows; -1: several, or none.</param>
/// <param name="Ids">Its ids.</param>
/// <param name="PromptLength">How many of them the prompt for an answer ends with.</param>
/// <param name="EndsItself">Whether its last token ends an answer; otherwise the next token does.</param>
internal readonly record struct Turn(int Message, int[] Ids, int PromptLength, bool EndsItself);

/// <summary>Renders conversations with the chat template in a model's own files.</summary>
/// <remarks>Answers are found by rendering turn by turn: what a template writes for the conversation up to an answer is
/// compared with what it writes before it. Tokens never span the border, as they cannot when the model
/// answers.</remarks>
internal sealed partial class OwnTemplate
{
    // As deep as a row's tools and arguments may be.
    private static readonly JsonSerializerOptions Deep = new() { MaxDepth = 512 };

    private readonly Tokenizer tokenizer;
    private readonly JinjaProgram program;
    private readonly bool toolsInMessages;
    private readonly bool hasToolCalls;
    private readonly string toolRole;
    private readonly bool hasReasoningField;
    private readonly bool splitsThoughts;

    /// <exception cref="InvalidDataException">The model has no chat template, or it cannot be read.</exception>
    public OwnTemplate(Tokenizer tokenizer)
    {
        this.tokenizer = tokenizer;
        var text =
            tokenizer.ChatTemplate
            ?? throw new InvalidDataException(
                "the model's files have no chat template (chat_template in tokenizer_config.json, or "
                    + "chat_template.jinja); choose one of the presets."
            );
        program = Run(() => JinjaProgram.Parse(text));
        toolsInMessages = ToolsOfMessage().IsMatch(text);
        hasToolCalls = text.Contains("tool_calls", StringComparison.Ordinal);
        toolRole = text.Contains("observation", StringComparison.Ordinal) ? "observation" : "tool";
        hasReasoningField = text.Contains("reasoning_content", StringComparison.Ordinal);
        splitsThoughts = text.Contains(Thoughts.Close, StringComparison.Ordinal);
        var prompt = PromptOfAnyQuestion();
        Thinks = prompt.TrimEnd().EndsWith(Thoughts.Open, StringComparison.Ordinal);
        OpensLine = Thinks && prompt.EndsWith('\n');
    }

    /// <summary>Whether the prompt for an answer ends with <c>&lt;think&gt;</c>.</summary>
    public bool Thinks { get; }

    /// <summary>Whether a line break follows that <c>&lt;think&gt;</c> in the prompt.</summary>
    public bool OpensLine { get; }

    /// <summary>Whether it does something with thoughts.</summary>
    public bool TakesThoughts => Thinks || hasReasoningField || splitsThoughts;

    /// <summary>The prompt of a conversation.</summary>
    /// <exception cref="InvalidDataException">The template refuses the conversation.</exception>
    public int[] Prompt(Conversation conversation, bool addGenerationPrompt) =>
        Encode(Render(conversation, conversation.Messages.Count, addGenerationPrompt));

    /// <summary>The whole conversation, cut where answers begin and end.</summary>
    /// <param name="conversation">The conversation.</param>
    /// <param name="answers">The messages whose borders are wanted, ascending.</param>
    /// <exception cref="InvalidDataException">The template refuses the conversation, or writes an answer differently
    /// once more messages follow.</exception>
    public IReadOnlyList<Turn> Turns(Conversation conversation, IEnumerable<int> answers)
    {
        var all = Render(conversation, conversation.Messages.Count, addGenerationPrompt: false);
        var (turns, done) = (new List<Turn>(), 0);
        foreach (var answer in answers)
        {
            var (prompt, end) = Borders(conversation, answer);
            if (prompt.Length < done || !all.StartsWith(end, StringComparison.Ordinal))
            {
                throw new InvalidDataException(
                    $"the model's chat template writes message {answer + 1} otherwise once more messages "
                        + "follow (such as without its thoughts), so it cannot be supervised. Set 'combine: true' "
                        + "to supervise the last answer only, or split the conversation."
                );
            }

            var (before, written) = (Encode(all[done..prompt.Length]), Encode(all[prompt.Length..end.Length]));
            turns.Add(new Turn(answer, [.. before, .. written], before.Length, EndsItself(written)));
            done = end.Length;
        }

        if (done < all.Length)
        {
            var rest = Encode(all[done..]);
            turns.Add(new Turn(-1, rest, rest.Length, EndsItself(rest)));
        }

        return turns;
    }

    /// <summary>An answer with its whole prompt.</summary>
    /// <param name="conversation">The conversation.</param>
    /// <param name="answer">The answer's place among the messages.</param>
    /// <exception cref="InvalidDataException">The template refuses the conversation.</exception>
    public Turn Answer(Conversation conversation, int answer)
    {
        var (prompt, end) = Borders(conversation, answer);
        var (before, written) = (Encode(prompt), Encode(end[prompt.Length..]));
        return new Turn(answer, [.. before, .. written], before.Length, EndsItself(written));
    }

    // Templates may refuse such a short conversation.
    private string PromptOfAnyQuestion()
    {
        try
        {
            return Render(new Conversation([new Message(Role.User, "?")]), count: 1, addGenerationPrompt: true);
        }
        catch (InvalidDataException)
        {
            return "";
        }
    }

    // The text before an answer, and with it.
    private (string Prompt, string End) Borders(Conversation conversation, int answer)
    {
        var prompt = Render(conversation, answer, addGenerationPrompt: true);
        var end = Render(conversation, answer + 1, addGenerationPrompt: false);
        return end.StartsWith(prompt, StringComparison.Ordinal)
            ? (prompt, end)
            : throw new InvalidDataException(
                $"the model's chat template does not begin message {answer + 1} as it begins an answer; found "
                    + $"'{Cut(end, prompt)}', expected '{Cut(prompt, end)}'. An answer may have to begin with what the "
                    + "template adds to the prompt, such as <think>."
            );
    }

    private static string Cut(string text, string other)
    {
        var same = text.AsSpan().CommonPrefixLength(other);
        return text[same..Math.Min(text.Length, same + 30)];
    }

    private string Render(Conversation conversation, int count, bool addGenerationPrompt)
    {
        var variables = new JsonObject
        {
            ["messages"] = new JsonArray([.. conversation.Messages.Take(count).SelectMany(Describe)]),
            ["add_generation_prompt"] = addGenerationPrompt,
            ["eos_token"] = "<|endoftext|>",
            ["pad_token"] = "<|endoftext|>",
        };
        var tools = conversation.Messages.Take(count).SelectMany(message => message.Tools).Select(Describe).ToArray();
        if (!toolsInMessages && tools.Length > 0)
        {
            variables["tools"] = new JsonArray(tools);
        }

        var json = JsonSerializer.SerializeToElement(variables, Deep);
        return Run(() => program.Render(json).Text);
    }

    private IEnumerable<JsonNode?> Describe(Message message)
    {
        if (message.Content.Length == 0 && (message.Tools.Count == 0 || !toolsInMessages))
        {
            yield break;
        }

        var role = message.Role == Role.Observation ? toolRole : message.Role.ToString().ToLowerInvariant();
        var json = new JsonObject { ["role"] = role, ["content"] = message.Content };
        if (message.Reasoning.Length > 0 && hasReasoningField)
        {
            json["reasoning_content"] = message.Reasoning;
        }
        else if (message.Reasoning.Length > 0 && splitsThoughts)
        {
            json["content"] = $"{Thoughts.Open}\n{Thoughts.Written(message.Reasoning)}{message.Content}";
        }

        if (message.Tools.Count > 0 && toolsInMessages)
        {
            json["tools"] = new JsonArray([.. message.Tools.Select(Describe)]);
        }

        if (message.Metadata.Length > 0 && hasToolCalls)
        {
            json["content"] = "";
            json["tool_calls"] = new JsonArray(
                new JsonObject
                {
                    ["type"] = "function",
                    ["function"] = new JsonObject
                    {
                        ["name"] = message.Metadata,
                        ["arguments"] = ToolCall.Read(message) is { HasJsonArguments: true } call
                            ? JsonSerializer.Deserialize<JsonNode>(call.Arguments, Deep)
                            : message.Content,
                    },
                }
            );
        }
        else if (message.Metadata.Length > 0)
        {
            json["metadata"] = message.Metadata;
        }

        yield return json;
    }

    private static JsonNode Describe(ToolDefinition tool) =>
        tool.Type == "function"
            ? new JsonObject
            {
                ["type"] = "function",
                ["function"] = JsonSerializer.Deserialize<JsonNode>(tool.Json, Deep),
            }
            : new JsonObject { ["type"] = tool.Type };

    private int[] Encode(string text) => text.Length == 0 ? [] : tokenizer.EncodeWithSpecialTokens(text);

    private bool EndsItself(int[] ids) => ids.Length > 0 && tokenizer.Special.All.Values.Contains(ids[^1]);

    private static T Run<T>(Func<T> work)
    {
        try
        {
            return work();
        }
        catch (JinjaException error)
        {
            throw new InvalidDataException(error.Message, error);
        }
    }

    [GeneratedRegex(@"\[['""]tools['""]\]|\.tools\b")]
    private static partial Regex ToolsOfMessage();
}
