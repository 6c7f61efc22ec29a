using System.Text.Json;
using GlmTune.Data.Templates;
using GlmTune.Evaluation.Metrics;
using GlmTune.Inference;

namespace GlmTune.Evaluation;

/// <summary>A generated answer with its reference and scores.</summary>
/// <param name="Example">The example that was answered.</param>
/// <param name="Prompt">The prompt as text, including special tokens.</param>
/// <param name="Prediction">The answer without special tokens, trimmed.</param>
/// <param name="Label">The reference, trimmed.</param>
/// <param name="Finish">Why generation stopped.</param>
/// <param name="Scores">The scores of the answer against the reference.</param>
public sealed record EvaluatedAnswer(
    EvaluationExample Example,
    string Prompt,
    string Prediction,
    string Label,
    FinishReason Finish,
    GenerationScores Scores
)
{
    /// <summary>The thoughts before the answer, which are not scored; empty if the model has none.</summary>
    public string Reasoning { get; init; } = "";

    /// <summary>The answer as a row of a prediction file, with the further keys <c>line</c>, <c>message_index</c>,
    /// <c>prompt</c>, <c>finish_reason</c> and, of a model that thinks, <c>reasoning_content</c>.</summary>
    internal PredictionRow ToRow() =>
        new(Prediction, Label)
        {
            Extra = new Dictionary<string, JsonElement>(Thought())
            {
                ["line"] = JsonSerializer.SerializeToElement(Example.Line),
                ["message_index"] = JsonSerializer.SerializeToElement(Example.MessageIndex),
                ["prompt"] = JsonSerializer.SerializeToElement(Prompt),
                ["finish_reason"] = JsonSerializer.SerializeToElement(Finish == FinishReason.Stop ? "stop" : "length"),
            },
        };

    private IEnumerable<KeyValuePair<string, JsonElement>> Thought() =>
        Reasoning.Length == 0 ? [] : [new("reasoning_content", JsonSerializer.SerializeToElement(Reasoning))];
}
