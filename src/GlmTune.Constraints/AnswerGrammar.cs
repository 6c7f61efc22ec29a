using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;

namespace GlmTune.Constraints;

/// <summary>The allowed form of an answer, byte by byte: JSON that matches a schema, or a call to one of several tools.
/// Tokens that would violate it are masked.</summary>
/// <remarks>Thread-safe. Keep it for further answers of the same form, because it caches which tokens fit
/// where.</remarks>
internal sealed class AnswerGrammar
{
    private readonly GrammarAutomaton automaton;

    private AnswerGrammar(ByteGrammar grammar) => automaton = new GrammarAutomaton(grammar);

    /// <summary>Creates a grammar for what the model writes after the assistant token, including the header's
    /// newline.</summary>
    /// <param name="content">The form of a plain answer; null if the answer must be a call.</param>
    /// <param name="tools">The tools that may be called instead; empty if the answer must be a plain one.</param>
    /// <param name="budget">Limit on the work of building the grammar; null: <see cref="GrammarBudget.OfOne"/>.</param>
    /// <exception cref="ArgumentException">A schema contains something that cannot be enforced, no answer is possible,
    /// or a tool's name is not a single line.</exception>
    public static AnswerGrammar Of(
        AnswerContent? content,
        IReadOnlyList<CallableTool> tools,
        GrammarBudget? budget = null
    )
    {
        if (
            tools.FirstOrDefault(tool => tool.Name.Length == 0 || tool.Name.AsSpan().IndexOfAny('\r', '\n') >= 0) is
            { } wrong
        )
        {
            throw new ArgumentException($"The name of the tool '{wrong.Name}' is not a single line.", nameof(tools));
        }

        var grammar = new ByteGrammar(budget);
        var json = new JsonGrammar(grammar);
        var ways = new List<int>();
        if (content is not null)
        {
            ways.Add(
                grammar.Literal(
                    "\n"u8,
                    content.Schema is { } schema ? new JsonSchemaGrammar(json, schema).Value(ByteGrammar.End)
                        : content.IsText ? json.Text(ByteGrammar.End)
                        : json.AnyObject(ByteGrammar.End)
                )
            );
        }

        foreach (var tool in tools)
        {
            var arguments =
                tool.Parameters is { } parameters ? new JsonSchemaGrammar(json, parameters).Value(ByteGrammar.End)
                : ToolDefinition.BuiltIn.Contains(tool.Name) ? json.Text(ByteGrammar.End)
                : json.AnyObject(ByteGrammar.End);
            ways.Add(grammar.Literal(Encoding.UTF8.GetBytes($"{tool.Name}\n"), arguments));
        }

        if (ways.Count == 0)
        {
            throw new ArgumentException("Neither a plain answer nor a call is allowed.", nameof(tools));
        }

        grammar.Start = grammar.Choice([.. ways]);
        return new AnswerGrammar(grammar);
    }

    /// <summary>Prepares a vocabulary for masks, which takes about a second for GLM-4's; otherwise the first mask does
    /// it.</summary>
    public static void Prepare(Tokenizer tokenizer) => TokenTrie.Of(tokenizer);

    /// <summary>Creates the mask for one answer.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="stops">Tokens that end an answer; they are allowed exactly where the answer is complete.</param>
    public TokenMask NewMask(Tokenizer tokenizer, IReadOnlyCollection<int> stops)
    {
        var trie = TokenTrie.Of(tokenizer);
        GrammarAutomaton.State? state = automaton.Start;
        var read = 0;
        return (answer, allowed) =>
        {
            ulong[]? mask;
            lock (automaton)
            {
                for (; read < answer.Length; read++)
                {
                    foreach (var value in tokenizer.BytesOf(answer[read]))
                    {
                        state = state is null ? null : automaton.Step(state, value);
                    }
                }

                mask = state is null ? null : automaton.MaskOf(state, trie);
            }

            allowed.Clear();
            if (mask is not null)
            {
                var words = MemoryMarshal.Cast<ulong, uint>(mask);
                words[..Math.Min(words.Length, allowed.Length)].CopyTo(allowed);
            }

            var ends = state?.Accepts != false;
            foreach (var stop in stops)
            {
                if ((uint)stop >> 5 < (uint)allowed.Length)
                {
                    allowed[stop >> 5] &= ~(1u << (stop & 31));
                    allowed[stop >> 5] |= (ends ? 1u : 0u) << (stop & 31);
                }
            }
        };
    }

    /// <summary>Whether the grammar accepts a text.</summary>
    internal bool Takes(string text)
    {
        lock (automaton)
        {
            GrammarAutomaton.State? state = automaton.Start;
            foreach (var value in Encoding.UTF8.GetBytes(text))
            {
                state = state is null ? null : automaton.Step(state, value);
            }

            return state is { Accepts: true };
        }
    }
}

/// <summary>The form of a plain answer.</summary>
/// <param name="Schema">A schema for JSON; null for another form.</param>
/// <param name="IsText">Without a schema: whether any text is allowed, instead of any JSON object.</param>
internal sealed record AnswerContent(JsonElement? Schema, bool IsText = false);

/// <summary>A tool that an answer may call.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Parameters">Schema of its arguments; null: any JSON object, or any text if the name is that of a
/// built-in tool of the model.</param>
internal sealed record CallableTool(string Name, JsonElement? Parameters);
