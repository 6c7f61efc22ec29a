namespace GlmTune.Server;

/// <summary>The limit on prompt length.</summary>
internal static class PromptLength
{
    /// <exception cref="ApiException">400: the prompt leaves no room for an answer.</exception>
    public static void Check(int tokens, ServedModel model, ServerLimits limits, string param)
    {
        var generator = model.Chat.Scheduler.Generator;
        var most = Math.Min(generator.MaxLength, generator.Defaults.MaxLength ?? int.MaxValue) - 1;
        most = Math.Min(most, limits.PromptTokens ?? int.MaxValue);
        if (tokens > most)
        {
            throw ApiException.Wrong(
                param,
                $"The prompt has {tokens} tokens; at most {most} are allowed. Leave out the oldest messages, "
                    + "or shorten them.",
                "context_length_exceeded"
            );
        }
    }
}
