namespace GlmTune.Model;

/// <summary>The layouts of checkpoints: names of tensors, and form of the configuration.</summary>
public enum CheckpointLayout
{
    /// <summary>That of the published GLM-4-9B checkpoints: <c>model_type: chatglm</c>,
    /// <c>transformer.encoder.layers…</c>, fused query-key-value.</summary>
    Original,

    /// <summary>That of the transformers library: <c>model_type: glm</c>, <c>model.layers…</c>, separate query, key and
    /// value projections.</summary>
    Library,
}
