using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>Renders the answers of a model that thinks before each of them.</summary>
/// <remarks>The model sees earlier answers without their thoughts, so each supervised answer is a sequence of its own:
/// the prompt as the model would get it, which ends with <c>&lt;think&gt;</c>, then the thoughts and the answer. Tokens
/// do not span the border, as they cannot when the model answers.</remarks>
/// <param name="tokenizer">The tokenizer.</param>
/// <param name="options">Limits, and what is supervised.</param>
/// <param name="endToken">Ends an answer that nothing follows.</param>
/// <param name="prompt">The prompt of a conversation for its next answer.</param>
/// <param name="opening">What the model writes before its first thought: the line break, unless the prompt ends with
/// it.</param>
/// <param name="encode">Encodes the text of an answer.</param>
internal sealed class ThinkingAnswers(
    Tokenizer tokenizer,
    TemplateOptions options,
    int endToken,
    Func<Conversation, int[]> prompt,
    string opening,
    Func<string, int[]> encode
)
{
    /// <summary>One sequence for each of the given answers.</summary>
    /// <param name="conversation">The conversation.</param>
    /// <param name="answers">The supervised answers' places among the messages.</param>
    /// <exception cref="InvalidDataException">A message that is not an answer is to be supervised.</exception>
    public IEnumerable<TokenizedExample> Training(Conversation conversation, IEnumerable<int> answers)
    {
        var other = conversation
            .Messages.Index()
            .FirstOrDefault(each => each.Item is { Loss: true, Role: not Role.Assistant });
        if (other.Item is not null)
        {
            throw new InvalidDataException(
                $"messages[{other.Index}]: 'loss' is true on a message that is not an answer. With a template that has "
                    + "thoughts only answers can be supervised. Remove the key."
            );
        }

        foreach (var answer in answers)
        {
            var before = Prompt(conversation, answer);
            var (thoughts, text) = Written(conversation.Messages[answer]);
            int[] whole = [.. before, .. thoughts, .. text, Following(conversation, answer)];
            var limit = Math.Min(whole.Length, options.MaxTrainingTokens);
            var start = before.Length + (options.SupervisesThoughts ? 0 : thoughts.Length);
            yield return new TokenizedExample(whole[..limit], start < limit ? [(start, limit)] : [])
            {
                FullLength = whole.Length,
                LostItsEnd = limit < whole.Length,
            };
        }
    }

    /// <summary>The answer as a row to generate and score; null if its prompt is too long. Its target is the answer
    /// without the thoughts.</summary>
    public EvaluationExample? Evaluation(Conversation conversation, int answer)
    {
        var before = Prompt(conversation, answer);
        if (before.Length > options.MaxInputTokens)
        {
            return null;
        }

        int[] target = [.. Written(conversation.Messages[answer]).Text, endToken];
        return new EvaluationExample(before, target[..Math.Min(target.Length, options.MaxOutputTokens)])
        {
            Thinks = true,
            MessageIndex = answer,
            IsCut = target.Length > options.MaxOutputTokens,
        };
    }

    private int[] Prompt(Conversation conversation, int answer) =>
        prompt(new Conversation([.. conversation.Messages.Take(answer)]));

    private (int[] Thoughts, int[] Text) Written(Message message)
    {
        var styled = ToolCall.InStyle(message, options.ToolCalls);
        var (reasoning, answer) = Thoughts.Of(styled);
        return (
            encode(opening + Thoughts.Written(reasoning)),
            encode(styled.Metadata.Length > 0 ? $"{styled.Metadata}\n{answer}" : answer)
        );
    }

    private int Following(Conversation conversation, int answer) =>
        conversation.Messages.Skip(answer + 1).FirstOrDefault(message => message.Content.Length > 0) is { } next
            ? tokenizer.Special[next.Role]
            : endToken;
}
