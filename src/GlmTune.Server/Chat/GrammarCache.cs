using System.Text.Json;
using GlmTune.Constraints;
using Microsoft.Extensions.Caching.Memory;

namespace GlmTune.Server;

/// <summary>Caches the grammars of the most recent answer forms, because they remember which tokens fit
/// where.</summary>
internal sealed class GrammarCache(ServerOptions options) : IDisposable
{
    private readonly MemoryCache grammars = new(new MemoryCacheOptions { SizeLimit = 16 });

    /// <summary>The grammar of an answer; null if any answer is allowed.</summary>
    /// <exception cref="ApiException">400: a schema contains something that cannot be enforced.</exception>
    public AnswerGrammar? For(AnswerForm form)
    {
        var (content, mustCall, tools) = form;
        if (content is null && !mustCall && !tools.Any(tool => tool.Strict))
        {
            return null;
        }

        var key = string.Join(
            '\u0001',
            [
                mustCall ? "call"
                : content is null ? "text"
                : content.Schema is { } schema ? schema.GetRawText()
                : "object",
                .. tools.Select(tool =>
                    $"{tool.Definition.Name}\u0002{tool.Strict}\u0002{tool.Parameters?.GetRawText()}"
                ),
            ]
        );
        if (grammars.TryGetValue(key, out AnswerGrammar? known))
        {
            return known;
        }

        var plain = mustCall ? null : content ?? new AnswerContent(null, IsText: true);
        // Tool schemas are compiled one by one, so that errors name the tool, and then together; all tools share one
        // grammar's budget.
        var budget = new GrammarBudget();
        var callable = tools.Select(tool => new CallableTool(tool.Definition.Name, Kept(tool, budget))).ToList();
        return grammars.Set(
            key,
            Compiled(plain, callable),
            new MemoryCacheEntryOptions { Size = 1, SlidingExpiration = TimeSpan.FromMinutes(10) }
        );
    }

    public void Dispose() => grammars.Dispose();

    private static AnswerGrammar Compiled(AnswerContent? plain, List<CallableTool> tools)
    {
        try
        {
            return AnswerGrammar.Of(plain, tools);
        }
        catch (Exception e) when (e is ArgumentException or ConstraintException)
        {
            if (plain?.Schema is not null && tools.Count > 0)
            {
                _ = Compiled(plain, []); // Names the answer's schema if it alone is too large.
            }

            throw plain?.Schema is not null && tools.Count == 0
                ? ApiException.Wrong(
                    "response_format.json_schema.schema",
                    $"The schema cannot be enforced: {Printable.Of(e.Message.TrimEnd('.'))}."
                )
                : ApiException.Wrong(
                    "tools",
                    $"The schemas of all tools together cannot be enforced: {Printable.Of(e.Message.TrimEnd('.'))}."
                );
        }
    }

    // The schema of a tool's arguments if it can be enforced; any object if strict was not requested.
    private JsonElement? Kept(RequestTool tool, GrammarBudget budget)
    {
        try
        {
            if (tool.Parameters?.GetRawText().Length > options.Limits.SchemaBytes)
            {
                throw new ArgumentException($"it is longer than {options.Limits.SchemaBytes} characters");
            }

            _ = AnswerGrammar.Of(null, [new CallableTool(tool.Definition.Name, tool.Parameters)], budget);
            return tool.Parameters;
        }
        catch (Exception e) when (e is ArgumentException or ConstraintException)
        {
            return !tool.Strict
                ? null
                : throw ApiException.Wrong(
                    $"{tool.Place}.parameters",
                    $"'{tool.Place}' is strict, but its schema cannot be enforced: "
                        + $"{Printable.Of(e.Message.TrimEnd('.'))}."
                );
        }
    }
}
