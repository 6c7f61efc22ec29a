namespace GlmTune.Hub;

/// <summary>The sites from which models are downloaded.</summary>
internal enum ModelSite
{
    /// <summary>The Hugging Face Hub, or a mirror of it.</summary>
    HuggingFace,

    /// <summary>ModelScope.</summary>
    ModelScope,
}
