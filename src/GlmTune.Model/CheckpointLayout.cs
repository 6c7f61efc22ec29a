namespace GlmTune.Model;

/// <summary>How a checkpoint names its tensors and writes its configuration.</summary>
public enum CheckpointLayout
{
    /// <summary>The published GLM-4-9B checkpoints: <c>model_type: chatglm</c>, <c>transformer.encoder.layers…</c>,
    /// fused query-key-value.</summary>
    Original,

    /// <summary>The transformers library's: <c>model_type: glm</c>, <c>model.layers…</c>, separate query, key and value
    /// projections.</summary>
    Library,
}
