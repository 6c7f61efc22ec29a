using System.Text.Json;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>The fields that say how an answer is generated, which chat and plain completions share.</summary>
internal abstract record SamplingFields
{
    /// <summary>Id of the model or adapter; the first one served where it is absent.</summary>
    public string? Model { get; init; }

    /// <summary>0 takes the likeliest tokens; up to 2.</summary>
    public double? Temperature { get; init; }

    /// <summary>Draw among the likeliest tokens that reach this probability together; 0 to 1.</summary>
    public double? TopP { get; init; }

    /// <summary>Draw among so many likeliest tokens; 0 turns it off. (Not in OpenAI's service.)</summary>
    public int? TopK { get; init; }

    /// <summary>−2 to 2: taken from the logit of each token for each time that it stands in the answer.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>−2 to 2: taken from the logit of each token that stands in the answer.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>Above 0: makes tokens that stand in prompt or answer less likely where above 1. (Not in OpenAI's
    /// service.)</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>The same seed draws the same answer.</summary>
    public long? Seed { get; init; }

    /// <summary>How many answers.</summary>
    public int? N { get; init; }

    /// <summary>Texts that end the answer: one, or a list.</summary>
    public StopTexts? Stop { get; init; }

    /// <summary>Whether the answer comes as server-sent events.</summary>
    public bool? Stream { get; init; }

    /// <summary>Only with <c>stream</c>.</summary>
    public StreamFields? StreamOptions { get; init; }

    /// <summary>Most tokens of an answer.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>An object of token ids and numbers from −100 to 100, each added to the logit of its token before it is
    /// chosen; −100 all but forbids it.</summary>
    public JsonElement? LogitBias { get; init; }

    /// <summary>Taken, and of no effect.</summary>
    public JsonElement? User { get; init; }

    /// <summary>Checks the ranges and gives the options.</summary>
    /// <param name="vocabularySize">One past the highest token id.</param>
    /// <param name="limits">What one request may ask for.</param>
    /// <param name="problems">Gets what is wrong.</param>
    public GenerationOptions Options(int vocabularySize, ServerLimits limits, FieldProblems problems)
    {
        problems.Range("temperature", Temperature, 0, 2);
        problems.Range("top_p", TopP, 0, 1);
        problems.Range("top_k", TopK, 0, int.MaxValue);
        problems.Range("frequency_penalty", FrequencyPenalty, -2, 2);
        problems.Range("presence_penalty", PresencePenalty, -2, 2);
        problems.Range("repetition_penalty", RepetitionPenalty, 0.01, 100);
        problems.Range("n", N, 1, limits.Choices);
        problems.Range("max_tokens", MaxTokens, 1, int.MaxValue);
        problems.Check(StreamOptions is null || Stream == true, "stream_options", "requires stream: true");
        Stop?.Check(limits, problems);
        var greedy = Temperature == 0 || TopP == 0;
        return new GenerationOptions
        {
            MaxNewTokens = MaxTokens,
            DoSample =
                greedy ? false
                : Temperature is not null || TopP is not null || TopK is not null ? true
                : null,
            Temperature = greedy ? 1 : Temperature,
            TopP = greedy ? 1 : TopP,
            TopK = TopK,
            FrequencyPenalty = FrequencyPenalty,
            PresencePenalty = PresencePenalty,
            RepetitionPenalty = RepetitionPenalty,
            LogitBias = Server.LogitBias.Read(LogitBias, vocabularySize, limits, problems),
            Seed = Seed,
            NumBeams = 1,
        };
    }
}

/// <summary>How an answer is streamed.</summary>
internal sealed record StreamFields
{
    /// <summary>Whether a last event tells the counts of tokens.</summary>
    public bool? IncludeUsage { get; init; }

    /// <summary>Taken, and of no effect: events are not filled up to hide their length.</summary>
    public bool? IncludeObfuscation { get; init; }
}
