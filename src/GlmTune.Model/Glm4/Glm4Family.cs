namespace GlmTune.Model.Glm4;

/// <summary>GLM-4: <c>chatglm</c> for GLM-4-9B and ChatGLM3-6B as published, <c>glm</c> as converted by the
/// transformers library, and for GLM-Edge; <c>glm4</c> for GLM-4-0414 and GLM-Z1.</summary>
internal static class Glm4Family
{
    /// <summary>Its entry in the list of families.</summary>
    public static ModelFamily Instance { get; } =
        new(
            "GLM-4",
            ["chatglm", "glm", "glm4"],
            (path, json) => new Glm4ConfigReader(path, json).Read(),
            new Dictionary<string, ModelConfig>
            {
                ["glm-4-9b"] = Glm4Config.Glm4_9B,
                ["glm-4-9b-0414"] = Glm4Config.Glm4_9B_0414,
                ["glm-edge-1.5b"] = Glm4Config.GlmEdge_1_5B,
                ["chatglm3-6b"] = Glm4Config.ChatGlm3_6B,
            },
            json => UnsupportedModel.OtherGlm4Form(json) is null
        );
}
