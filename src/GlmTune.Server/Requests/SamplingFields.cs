using System.Text.Json;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>The fields that control generation, shared by chat and plain completions.</summary>
internal abstract record SamplingFields
{
    /// <summary>Id of the model or adapter; default: the first one served.</summary>
    public string? Model { get; init; }

    /// <summary>Sampling temperature; 0 is greedy; at most 2.</summary>
    public double? Temperature { get; init; }

    /// <summary>Sample from the most likely tokens whose probabilities add up to this value; 0 to 1.</summary>
    public double? TopP { get; init; }

    /// <summary>Sample from this many most likely tokens; 0 disables it. (Not in OpenAI's API.)</summary>
    public int? TopK { get; init; }

    /// <summary>−2 to 2: subtracted from the logit of each token per occurrence in the answer.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>−2 to 2: subtracted from the logit of each token that occurs in the answer.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>Above 0: values above 1 make tokens that occur in prompt or answer less likely. (Not in OpenAI's
    /// API.)</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Random seed; the same seed gives the same answer.</summary>
    public long? Seed { get; init; }

    /// <summary>Number of answers.</summary>
    public int? N { get; init; }

    /// <summary>Stop sequences that end the answer: a string or a list.</summary>
    public StopTexts? Stop { get; init; }

    /// <summary>Whether to stream the answer as server-sent events.</summary>
    public bool? Stream { get; init; }

    /// <summary>Only with <c>stream</c>.</summary>
    public StreamFields? StreamOptions { get; init; }

    /// <summary>Maximum tokens per answer.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>An object of token ids and numbers from −100 to 100, each added to the logit of its token before
    /// sampling; −100 practically forbids the token.</summary>
    public JsonElement? LogitBias { get; init; }

    /// <summary>Accepted without effect.</summary>
    public JsonElement? User { get; init; }

    /// <summary>Checks the ranges and returns the options.</summary>
    /// <param name="vocabularySize">Exclusive upper bound of token ids.</param>
    /// <param name="limits">The limits of one request.</param>
    /// <param name="problems">Receives problems.</param>
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

/// <summary>Options of streaming.</summary>
internal sealed record StreamFields
{
    /// <summary>Whether a last event contains the token counts.</summary>
    public bool? IncludeUsage { get; init; }

    /// <summary>Accepted without effect: events are not padded to hide their length.</summary>
    public bool? IncludeObfuscation { get; init; }
}
