namespace GlmTune.Weights.Tests;

public sealed class GoldenDataTests
{
    [Fact]
    public void The_tiny_model_is_in_the_repository() => Assert.True(File.Exists(GoldenData.Path("glm-tiny/model-hf/model.safetensors")));
}
