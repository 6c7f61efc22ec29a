namespace GlmTune.Model.Glm4;

/// <summary>GLM-4-9B: <c>chatglm</c> as published, <c>glm</c> as the transformers library converts it.</summary>
public static class Glm4Family
{
    /// <summary>Its entry in the list of families.</summary>
    public static ModelFamily Instance { get; } =
        new(
            "GLM-4",
            ["chatglm", "glm"],
            (path, json) => new Glm4ConfigReader(path, json).Read(),
            new Dictionary<string, ModelConfig> { ["glm-4-9b"] = Glm4Config.Glm4_9B },
            json => UnsupportedModel.OtherGlm4Form(json) is null
        );
}
