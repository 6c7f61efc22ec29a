using System.Text.Json;
using GlmTune.Data.Templates;
using GlmTune.Evaluation.Metrics;
using GlmTune.Inference;

namespace GlmTune.Evaluation;

/// <summary>A generated answer beside its reference.</summary>
/// <param name="Example">What was asked.</param>
/// <param name="Prompt">The prompt as text, special tokens included.</param>
/// <param name="Prediction">The answer: no special tokens, no white space at its ends.</param>
/// <param name="Label">The reference, likewise.</param>
/// <param name="Finish">Whether the model ended the answer, or the limit did.</param>
/// <param name="Scores">How alike they are.</param>
public sealed record EvaluatedAnswer(
    EvaluationExample Example,
    string Prompt,
    string Prediction,
    string Label,
    FinishReason Finish,
    GenerationScores Scores
)
{
    /// <summary>It as a line of a prediction file, which also says <c>line</c>, <c>message_index</c>, <c>prompt</c> and
    /// <c>finish_reason</c>.</summary>
    public PredictionRow ToRow() =>
        new(Prediction, Label)
        {
            Extra = new Dictionary<string, JsonElement>
            {
                ["line"] = JsonSerializer.SerializeToElement(Example.Line),
                ["message_index"] = JsonSerializer.SerializeToElement(Example.MessageIndex),
                ["prompt"] = JsonSerializer.SerializeToElement(Prompt),
                ["finish_reason"] = JsonSerializer.SerializeToElement(Finish == FinishReason.Stop ? "stop" : "length"),
            },
        };
}
