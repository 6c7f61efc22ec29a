using GlmTune.Data.Conversations;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Weights.Gguf;

namespace GlmTune.Interop.Tests;

/// <summary>llama.cpp computes from an exported model what we compute.</summary>
public sealed class ModelTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    // The second number: how much the loss may change. In f16 and bf16, llama.cpp rounds activations to that type too.
    [Theory]
    [InlineData("F32", 2e-6, 1e-5), InlineData("F16", 1e-3, 1e-3), InlineData("BF16", 8e-3, 5e-3)]
    [InlineData("Q8_0", 0.03, 0.01), InlineData("Q4_K_M", 0.12, 0.03), InlineData("Q4_0", 0.2, 0.05)]
    public void Nano_has_our_logits_loss_and_greedy_answer(string type, double logits, double loss)
    {
        using var llama = new LlamaModel(
            Exported.Write(Exported.Nano, folder.At("nano.gguf"), Enum.Parse<GgufFileType>(type))
        );
        var path = TunedPath.Resolve(Exported.Nano);
        var ids = TrainingIds();
        var (ours, theirs) = (Exported.Logits(path, ids), llama.Logits(ids));
        Assert.InRange(Exported.Distance(theirs, ours), 0, logits);
        Assert.InRange(Exported.Loss(theirs, ids) / Exported.Loss(ours, ids), 1 - loss, 1 + loss);

        var template = TunedChatFiles.Read(Exported.Nano).Template;
        var prompt = template.RenderPrompt(new Conversation([new Message(Role.User, "法国的首都是哪里？")]));
        var answer = llama.Greedy(prompt, 24);
        int[] all = [.. prompt, .. answer];
        var expected = Exported.Logits(path, all)[(prompt.Length - 1)..^1].Select(row => Array.IndexOf(row, row.Max()));
        Assert.Equal(expected, answer);
        Assert.True(llama.IsEnd(answer[^1]), "the answer has an end");
    }

    [Theory]
    [InlineData("glm-tiny/model-chatglm", "chatglm"), InlineData("glm-tiny/model-hf", "chatglm")]
    [InlineData("glm4-tiny/model-hf", "glm4"), InlineData("edge-tiny/model-hf", "chatglm")]
    public void Every_architecture_has_our_logits(string golden, string architecture)
    {
        var copy = Exported.WithTokenizer(GoldenData.Path(golden), folder.At("model"));
        using var llama = new LlamaModel(Exported.Write(copy, folder.At("model.gguf")));
        Assert.Equal(architecture, llama.Metadata("general.architecture"));
        var ids = SomeIds();
        Assert.InRange(Exported.Distance(llama.Logits(ids), Exported.Logits(TunedPath.Resolve(copy), ids)), 0, 5e-6);
    }

    [Fact]
    public void Query_key_and_value_may_be_one_tensor_or_three()
    {
        var ids = TrainingIds();
        using var fused = new LlamaModel(
            Exported.Write(Exported.Nano, folder.At("fused.gguf"), GgufFileType.F32, CheckpointLayout.Original)
        );
        using var apart = new LlamaModel(
            Exported.Write(Exported.Nano, folder.At("apart.gguf"), GgufFileType.F32, CheckpointLayout.Library)
        );
        Assert.InRange(Exported.Distance(apart.Logits(ids), fused.Logits(ids)), 0, 2e-6);
        Assert.True(
            new Testing.GgufFile(folder.At("fused.gguf")).Tensors.ContainsKey("blk.0.attn_qkv.weight")
                && new Testing.GgufFile(folder.At("apart.gguf")).Tensors.ContainsKey("blk.0.attn_q.weight")
        );
    }

    /// <summary>Ids of the golden models' vocabulary.</summary>
    internal static int[] SomeIds() => [.. Enumerable.Range(1, 40).Select(i => i * 37 % 640)];

    private static int[] TrainingIds()
    {
        var template = TunedChatFiles.Read(Exported.Nano).Template;
        var data = Path.Combine(Exported.Nano, "..", "..", "data", "pretrain", "dev.jsonl");
        return
        [
            .. ConversationFile
                .Read(data)
                .Take(4)
                .SelectMany(conversation => template.RenderTraining(conversation).Single().TokenIds)
                .Take(240),
        ];
    }
}
