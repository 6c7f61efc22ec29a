using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Recipes.Evaluating;

namespace GlmTune.Recipes.Tests.Evaluating;

public class EvaluationDataTests
{
    [Fact]
    public void A_cache_that_cannot_be_written_is_noted_once()
    {
        using var folder = new TemporaryFolder();
        var template = new Glm4Template(TokenizerFile.Read(GoldenData.Path("../../models/glm-nano")));
        var file = folder.Write(
            "dev.jsonl",
            """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"""
        );
        var cache = new RowCache(folder.At("cache")) { SmallestData = 0, LeftFree = long.MaxValue };
        var first = EvaluationData.Read(file, template, new ExampleOptions(), answers: false, cache);
        var second = EvaluationData.Read(file, template, new ExampleOptions(), answers: false, cache);
        Assert.Equal([cache.Note], first.Notes);
        Assert.Empty(second.Notes);
    }
}
