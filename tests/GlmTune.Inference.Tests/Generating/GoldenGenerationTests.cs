using System.Text.Json;
using GlmTune.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>Against what Hugging Face's library generated, in both checkpoint layouts.</summary>
public class GoldenGenerationTests
{
    [Theory]
    [InlineData("glm-tiny/model-hf", "prompt4")]
    [InlineData("glm-tiny/model-hf", "prompt9")]
    [InlineData("glm-tiny/model-chatglm", "prompt4")]
    [InlineData("glm-tiny/model-chatglm", "prompt9")]
    [InlineData("glm4-tiny/model-hf", "prompt4"), InlineData("glm4-tiny/model-hf", "prompt9")]
    [InlineData("edge-tiny/model-hf", "prompt4"), InlineData("edge-tiny/model-hf", "prompt9")]
    public void Greedy_answers_agree(string folder, string name) => Agrees(folder, name, new GenerationOptions());

    [Theory]
    [InlineData("glm-tiny/model-hf")]
    [InlineData("glm-tiny/model-chatglm"), InlineData("glm4-tiny/model-hf"), InlineData("edge-tiny/model-hf")]
    public void Answers_under_a_repetition_penalty_agree(string folder) =>
        Agrees(folder, "repetition_penalty_1.3", new GenerationOptions { RepetitionPenalty = 1.3 });

    [Theory]
    [InlineData("glm-tiny/model-hf")]
    [InlineData("glm-tiny/model-chatglm"), InlineData("glm4-tiny/model-hf"), InlineData("edge-tiny/model-hf")]
    public void A_search_with_three_beams_agrees(string folder) =>
        Agrees(folder, "beam3", new GenerationOptions { NumBeams = 3 });

    [Theory]
    [InlineData("glm-tiny/model-hf", 16, 4096)]
    [InlineData("glm-tiny/model-hf", 2, 4096)]
    [InlineData("glm-tiny/model-hf", 16, 3)]
    [InlineData("glm-tiny/model-chatglm", 16, 4096)]
    [InlineData("glm4-tiny/model-hf", 2, 3), InlineData("edge-tiny/model-hf", 2, 3)]
    public void A_batch_of_unequal_prompts_agrees(string folder, int slots, int passTokens)
    {
        using var model = Load(folder);
        var prompts = BatchPrompts(folder);
        var generator = new Generator(
            model,
            640,
            limits: new GenerationLimits { Slots = slots, PassTokens = passTokens }
        );
        var expected = Golden(folder, "left_padded_batch").GetProperty("output").EnumerateArray().Select(Ids).ToList();
        var answers = generator.GenerateAll([
            .. prompts.Select(prompt => new GenerationRequest(prompt)
            {
                Options = new() { MaxNewTokens = expected[0].Length },
            }),
        ]);
        Assert.Equal(expected, answers.Select(answer => answer.Tokens));
        Assert.All(answers, answer => Assert.Equal(FinishReason.Length, answer.Finish));
    }

    [Fact]
    public void Many_rows_in_few_slots_are_answered_as_each_alone()
    {
        using var model = Load("glm-tiny/model-hf");
        var random = new Random(5);
        var requests = Enumerable
            .Range(0, 20)
            .Select(i => new GenerationRequest([
                .. Enumerable.Range(0, random.Next(1, 90)).Select(_ => random.Next(3, 640)),
            ])
            {
                Options = new() { MaxNewTokens = random.Next(1, 40), EosTokenIds = [.. Enumerable.Range(0, 12)] },
            })
            .ToList();
        var together = new Generator(
            model,
            640,
            limits: new GenerationLimits { Slots = 4, PassTokens = 50 }
        ).GenerateAll(requests);
        var alone = new Generator(model, 640);
        Assert.Equal(
            requests.Select(request => alone.Generate(request).Tokens),
            together.Select(answer => answer.Tokens)
        );
        Assert.Contains(together, answer => answer.Finish == FinishReason.Stop);
        Assert.Contains(together, answer => answer.Finish == FinishReason.Length);
    }

    [Fact]
    public void No_tensor_outlives_its_answer()
    {
        using var model = Load("glm-tiny/model-hf");
        var generator = new Generator(
            model,
            640,
            new GenerationOptions { MaxNewTokens = 80 },
            new GenerationLimits { Slots = 2 }
        );
        GenerationRequest[] requests =
        [
            new([3, 4]),
            new([5])
            {
                Options = new() { DoSample = true, Seed = 1 },
            },
            new([6]) { Options = new() { NumBeams = 2 } },
        ];
        generator.GenerateAll(requests);
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        generator.GenerateAll(requests);
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    private static void Agrees(string folder, string name, GenerationOptions options)
    {
        using var model = Load(folder);
        var (prompt, output) = (
            Ids(Golden(folder, name).GetProperty("prompt")),
            Ids(Golden(folder, name).GetProperty("output"))
        );
        var generator = new Generator(model, 640, options with { EosTokenIds = [1, 2] });
        var answer = generator.Generate(
            new GenerationRequest(prompt) { Options = new() { MaxNewTokens = output.Length - prompt.Length } }
        );
        Assert.Equal(output[prompt.Length..], answer.Tokens);
    }

    private static DecoderModel Load(string folder) =>
        ModelFolder.Load(GoldenData.Path(folder), ScalarType.Float32, CPU);

    private static List<int[]> BatchPrompts(string folder)
    {
        var batch = Read(folder, "batch.json");
        return
        [
            .. batch
                .GetProperty("input_ids")
                .EnumerateArray()
                .Zip(
                    batch.GetProperty("attention_mask").EnumerateArray(),
                    (ids, mask) =>
                        Ids(ids).Zip(Ids(mask)).Where(pair => pair.Second == 1).Select(pair => pair.First).ToArray()
                ),
        ];
    }

    private static JsonElement Golden(string folder, string name) => Read(folder, "generate.json").GetProperty(name);

    private static JsonElement Read(string folder, string file) =>
        JsonDocument.Parse(File.ReadAllBytes(GoldenData.Path($"{Path.GetDirectoryName(folder)}/{file}"))).RootElement;

    private static int[] Ids(JsonElement list) => [.. list.EnumerateArray().Select(id => id.GetInt32())];
}
