using System.Text.Json;
using GlmTune.Testing;
using GlmTune.Weights;

namespace GlmTune.Cli.Commands;

/// <summary>A small model of ChatGLM3's form: trained, asked, merged, renamed.</summary>
public sealed class ChatGlm3Tests
{
    private const string Rows = """
        {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "world"}]}
        {"conversations": [{"role": "user", "content": "rain?"}, {"role": "tool", "name": "w", "parameters": {"a": 1}, "observation": "dry"}, {"role": "assistant", "content": "No."}], "tools": [{"name": "w", "description": "Weather", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}]}
        """;

    [Theory]
    [InlineData("peft_config: {peft_type: LORA, task_type: CAUSAL_LM, r: 2, target_modules: [query_key_value]}")]
    [InlineData("peft_config: {peft_type: PREFIX_TUNING, task_type: CAUSAL_LM, num_virtual_tokens: 3}")]
    [InlineData("")]
    public async Task It_is_trained_and_answers(string method)
    {
        using var copy = Small();
        using var temporary = new TemporaryFolder();
        temporary.Write("train.jsonl", Rows);
        temporary.Write(
            "recipe.yaml",
            $$"""
            data_config: {train_file: train.jsonl}
            training_args: {output_dir: {{temporary.At(
                "output"
            )}}, max_steps: 2, save_steps: 2, per_device_train_batch_size: 2}
            {{method}}
            """
        );
        var run = await Run.Of("train", temporary.Path, copy.Path, temporary.At("recipe.yaml"));
        Assert.True(run.Code == 0, run.Error);

        var checkpoint = temporary.At("output/checkpoint-2");
        run = await Run.Of(
            "chat",
            checkpoint,
            "--prompt",
            "hello",
            "--json",
            "--max-new-tokens",
            "4",
            "--device",
            "cpu"
        );
        Assert.True(run.Code == 0, run.Error);
        // [gMASK], sop, <|user|>, a space, the line break, " hello", <|assistant|>
        Assert.Equal(7, JsonDocument.Parse(run.Output).RootElement.GetProperty("prompt_tokens").GetInt32());
        if (!method.Contains("LORA", StringComparison.Ordinal))
        {
            return;
        }

        foreach (var layout in (string[])["original", "hf"])
        {
            var merged = temporary.At(layout);
            run = await Run.Of("merge", checkpoint, merged, "--layout", layout, "--device", "cpu");
            Assert.True(run.Code == 0, run.Error);
            using (var weights = WeightFiles.Open(merged))
            {
                Assert.Equal(layout == "original", weights.Find("transformer.output_layer.weight") is not null);
            }

            run = await Run.Of("chat", merged, "--prompt", "hello", "--max-new-tokens", "4", "--device", "cpu");
            Assert.True(run.Code == 0, run.Error);
        }
    }

    [Fact]
    public async Task Rows_are_shown_in_its_format()
    {
        using var copy = Small();
        using var temporary = new TemporaryFolder();
        temporary.Write("train.jsonl", Rows);
        temporary.Write("recipe.yaml", "data_config: {train_file: train.jsonl}");
        var run = await Run.Of("data", "show", temporary.Path, copy.Path, temporary.At("recipe.yaml"), "--row", "2");
        Assert.Equal(0, run.Code);
        Assert.Contains("[gMASK]sop<|system|>\n Answer the following questions", run.Output, StringComparison.Ordinal);
        Assert.Contains(
            "<|assistant|>«w\n ```python\ntool_call(a=1)\n```<|observation|>»\n dry<|assistant|>«\n No.<|user|>»",
            run.Output,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task It_cannot_be_written_for_llama_cpp()
    {
        using var copy = Small();
        using var temporary = new TemporaryFolder();
        var run = await Run.Of("export", "gguf", copy.Path, temporary.At("out.gguf"));
        Assert.Equal(2, run.Code);
        Assert.Contains("ChatGLM3's SentencePiece", run.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(temporary.At("out.gguf")));
    }

    private static ModelCopy Small()
    {
        var copy = new ModelCopy("glm-tiny/model-chatglm");
        copy.Edit(
            "config.json",
            json =>
            {
                json["_name_or_path"] = "THUDM/chatglm3-6b";
                json["eos_token_id"] = 2;
            }
        );
        File.WriteAllBytes(copy.At("tokenizer.model"), SentencePieceFile.Create());
        return copy;
    }
}
