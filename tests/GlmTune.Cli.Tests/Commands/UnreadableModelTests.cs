using System.Text.Json.Nodes;

namespace GlmTune.Cli.Commands;

/// <summary>What cannot be loaded is refused by its cause, with the same words by <c>model info</c> and by
/// loading.</summary>
public sealed class UnreadableModelTests
{
    private const string Weights = "model.safetensors";

    public static TheoryData<string, Action<ModelCopy>> Damages =>
        new()
        {
            {
                "model.safetensors: is a Git LFS pointer of 71 bytes, not the file itself, which has 12 bytes",
                copy =>
                    copy.Write(Weights, "version https://git-lfs.github.com/spec/v1\noid sha256:abcdefgh\nsize 12\n")
            },
            { "model.safetensors: is a web page", copy => copy.Write(Weights, "<!doctype html><title>Log in</title>") },
            { "model.safetensors: is empty, or is not a regular file", copy => copy.Write(Weights, "") },
            {
                "model.safetensors: is text (\"Please accept the terms",
                copy => copy.Write(Weights, "Please accept the terms first.")
            },
            { "config.json: is a web page", copy => copy.Write("config.json", "<html></html>") },
            { "config.json: is empty", copy => copy.Write("config.json", "") },
            { "config.json: is a server's error message", copy => copy.Write("config.json", "{\"error\": \"gated\"}") },
            {
                "pytorch_model.bin: is a Python pickle",
                copy => File.Move(copy.At(Weights), copy.At("pytorch_model.bin"))
            },
            { "is a GGUF file", copy => File.Move(copy.At(Weights), copy.At("q4.gguf")) },
            {
                "has 1 part of a model but no model.safetensors.index.json",
                copy => File.Move(copy.At(Weights), copy.At("model-00001-of-00002.safetensors"))
            },
            {
                "The download is not complete: 'model.safetensors.incomplete' is still there",
                copy => File.Move(copy.At(Weights), copy.At("model.safetensors.incomplete"))
            },
            {
                "the part 'model-00002-of-00002.safetensors' is missing. The download is not complete: 'x.part' "
                    + "is still there",
                copy =>
                {
                    File.Move(copy.At(Weights), copy.At("model-00001-of-00002.safetensors"));
                    copy.Write("x.part", "half");
                    copy.Write(
                        "model.safetensors.index.json",
                        """{"weight_map": {"transformer.output_layer.weight": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"""
                    );
                }
            },
            {
                "this model is quantised (bitsandbytes, 8 bits)",
                copy =>
                    copy.Edit(
                        "config.json",
                        json =>
                            json["quantization_config"] = Parse(
                                """{"quant_method": "bitsandbytes", "load_in_8bit": true}"""
                            )
                    )
            },
            {
                "this model is quantised (gptq, 8 bits)",
                copy =>
                    copy.Edit(
                        "config.json",
                        json => json["quantization_config"] = Parse("""{"quant_method": "gptq", "bits": 8}""")
                    )
            },
            {
                "this model is quantised (MLX, 4 bits)",
                copy =>
                    copy.Edit("config.json", json => json["quantization"] = Parse("""{"group_size": 64, "bits": 4}"""))
            },
            {
                "this model is quantised ('quantization_bit' is 4)",
                copy => copy.Edit("config.json", json => json["quantization_bit"] = 4)
            },
            {
                "the weights are quantised (GPTQ or AWQ: it holds "
                    + "'transformer.encoder.layers.0.mlp.dense_4h_to_h.qweight')",
                copy =>
                    copy.Rename(
                        Weights,
                        name =>
                            name.Replace(
                                "layers.0.mlp.dense_4h_to_h.weight",
                                "layers.0.mlp.dense_4h_to_h.qweight",
                                StringComparison.Ordinal
                            )
                    )
            },
            {
                "dense_4h_to_h.weight' is I8",
                copy =>
                    copy.EditHeader(
                        Weights,
                        json =>
                        {
                            var tensor = json["transformer.encoder.layers.0.mlp.dense_4h_to_h.weight"]!;
                            tensor["dtype"] = "I8";
                            tensor["shape"] = new JsonArray(256, 176);
                        }
                    )
            },
            {
                "'vision_config': this is a vision model",
                copy => copy.Edit("config.json", json => json["vision_config"] = new JsonObject { ["depth"] = 1 })
            },
            {
                "this is ChatGLM2-6B",
                copy => copy.Edit("config.json", json => json["_name_or_path"] = "THUDM/chatglm2-6b-32k")
            },
            {
                "this is CodeGeeX2-6B",
                copy => copy.Edit("config.json", json => json["_name_or_path"] = "codegeex2-6b")
            },
            { "this is ChatGLM-6B, ", copy => copy.Edit("config.json", json => json["inner_hidden_size"] = 16384) },
            {
                "model_type 'qwen2' (Qwen2ForCausalLM) is not GLM-4",
                copy =>
                    copy.Edit(
                        "config.json",
                        json =>
                        {
                            json["model_type"] = "qwen2";
                            json["architectures"] = new JsonArray("Qwen2ForCausalLM");
                        }
                    )
            },
            {
                "'rope_ratio' is 0; expected a number above 0",
                copy => copy.Edit("config.json", json => json["rope_ratio"] = 0)
            },
            {
                "'layernorm_epsilon' is -1; expected a number of at least 0",
                copy => copy.Edit("config.json", json => json["layernorm_epsilon"] = -1)
            },
            {
                "'seq_length' is -1; expected a whole number above 0",
                copy => copy.Edit("config.json", json => json["seq_length"] = -1)
            },
            {
                "'pad_token_id' is 1.5; expected a whole number",
                copy => copy.Edit("config.json", json => json["pad_token_id"] = 1.5)
            },
            {
                "'num_layers' is 1000000; expected at most 1000",
                copy => copy.Edit("config.json", json => json["num_layers"] = 1_000_000)
            },
            {
                "'padded_vocab_size' is 2000000000; expected at most",
                copy => copy.Edit("config.json", json => json["padded_vocab_size"] = 2_000_000_000)
            },
            {
                "config.json says that there are 900 layers, but the weights are of 3",
                copy => copy.Edit("config.json", json => json["num_layers"] = 900)
            },
        };

    [Theory]
    [MemberData(nameof(Damages), DisableDiscoveryEnumeration = true)]
    public async Task A_cause_is_named_alike_by_info_and_by_loading(string cause, Action<ModelCopy> damage)
    {
        using var copy = new ModelCopy("glm-tiny/model-chatglm");
        damage(copy);
        var info = await Run.Of("model", "info", copy.Path);
        Assert.Equal(2, info.Code);
        Assert.Contains(cause, info.Error, StringComparison.Ordinal);
        var loading = await Run.Of(
            "forward",
            copy.Path,
            "--input",
            GoldenData.Path("glm-tiny/batch.json"),
            "--output",
            copy.At("out.safetensors"),
            "--device",
            "cpu"
        );
        Assert.Equal((2, info.Error), (loading.Code, loading.Error));
    }

    [Theory]
    [InlineData("config.json")]
    [InlineData("generation_config.json")]
    [InlineData("tokenizer_config.json")]
    public async Task A_byte_order_mark_is_passed_over_and_errors_are_in_plain_words(string name)
    {
        using var copy = ModelCopy.OfNano();
        var text = File.ReadAllText(copy.At(name));
        copy.Write(name, "\ufeff" + text);
        Assert.Equal((0, ""), await CodeAndError("model", "info", copy.Path));
        foreach (
            var (broken, expected) in ((string, string)[])
                [
                    (
                        text.Insert(text.IndexOf('{', StringComparison.Ordinal) + 1, "\"a\": 1, \"a\": 2, "),
                        "line 1, character "
                    ),
                    (text[..^4], "not valid JSON"),
                    ("[]", "found an empty array; expected an object"),
                    (
                        "{\"eos_token_id\": \"x\", \"added_tokens_decoder\": {\"y\": 1}, \"model_type\": \"chatglm\"}",
                        "'"
                    ),
                ]
        )
        {
            copy.Write(name, broken);
            var run = await Run.Of("model", "info", copy.Path);
            Assert.Equal(2, run.Code);
            Assert.Contains($"{copy.At(name)}", run.Error, StringComparison.Ordinal);
            Assert.Contains(expected, run.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("BytePositionInLine", run.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("(Parameter", run.Error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("{\"peft_type\": \"LORA\", \"r\": 8, \"r\": 4}", "not valid JSON")]
    [InlineData(
        "{\"peft_type\": \"LORA\", \"r\": 1.5, \"target_modules\": [\"q_proj\"]}",
        "'r' is 1.5; expected a whole number"
    )]
    [InlineData(
        "{\"peft_type\": \"LORA\", \"r\": 1e300, \"target_modules\": [\"q_proj\"]}",
        "'r' is 1E+300; expected a whole number"
    )]
    [InlineData("{\"peft_type\": \"LORA\", \"r\": \"8\", \"lora_alpha\": []}", "'r' is \"8\"; expected a number")]
    [InlineData("{\"peft_type\": \"LORA\", \"target_modules\": \"(\"}", "'target_modules' is \"(\"; expected names")]
    [InlineData("{\"peft_type\": \"LORA\", \"rank_pattern\": {\"(\": 1}}", "'rank_pattern' has the key '('")]
    [InlineData(
        "{\"peft_type\": \"LORA\", \"alpha_pattern\": {\"q\": null}}",
        "'alpha_pattern.q' is null; expected a number"
    )]
    [InlineData("{\"peft_type\": 3}", "has no 'peft_type'")]
    [InlineData("[1]", "found an array; expected an object")]
    public async Task A_wrong_adapter_configuration_is_the_users_problem(string json, string expected)
    {
        using var copy = new ModelCopy("glm-tiny/adapter-lora");
        copy.Write("adapter_config.json", json);
        var run = await Run.Of("model", "info", copy.Path, "--base", GoldenData.Path("glm-tiny/model-hf"));
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_damaged_SentencePiece_tokenizer_is_named()
    {
        using var copy = ModelCopy.OfNano();
        copy.Write("tokenizer.model", "\n\u000e\n\u0005<unk>\u0015\0\0\0\0\u0018\u0002\n");
        var run = await Run.Of("model", "info", copy.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains("tokenizer.model: is a damaged SentencePiece model", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_tokenizer_that_was_cut_off_between_two_lines_is_found()
    {
        using var copy = ModelCopy.OfNano();
        var lines = File.ReadAllLines(copy.At("tokenizer.model"));
        File.WriteAllLines(copy.At("tokenizer.model"), lines.Take(1000));
        foreach (
            var command in (string[][])
                [
                    ["model", "info"],
                    ["chat", "--prompt", "hi"],
                ]
        )
        {
            var run = await Run.Of([.. command, copy.Path]);
            Assert.Equal(2, run.Code);
            Assert.Contains(
                "tokenizer.model: has 1000 tokens, but the special tokens in tokenizer_config.json start at 2032",
                run.Error,
                StringComparison.Ordinal
            );
        }
    }

    [Theory]
    [InlineData("glm-tiny/model-chatglm", "rope_scaling", """{"type": "yarn", "factor": 4}""", "yarn")]
    [InlineData("glm-tiny/model-chatglm", "rope_scaling", """{"rope_type": "linear", "factor": 4}""", "linear")]
    [InlineData("glm-tiny/model-hf", "rope_scaling", """{"type": "dynamic", "factor": 4}""", "dynamic")]
    [InlineData("glm-tiny/model-hf", "rope_parameters", """{"rope_type": "yarn", "rope_theta": 10000}""", "yarn")]
    public async Task Positions_that_are_scaled_are_refused_by_name(string model, string key, string value, string type)
    {
        using var copy = new ModelCopy(model);
        copy.Edit("config.json", json => json[key] = Parse(value));
        var run = await Run.Of("model", "info", copy.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains($"'{key}' is of the type '{type}'", run.Error, StringComparison.Ordinal);
        copy.Edit("config.json", json => json[key] = null);
        copy.Edit("config.json", json => json["rope_theta"] = 10000);
        Assert.Equal(0, (await Run.Of("model", "info", copy.Path)).Code);
    }

    [Fact]
    public async Task Several_causes_are_named_at_once()
    {
        using var copy = new ModelCopy("glm-tiny/model-chatglm");
        copy.Edit(
            "config.json",
            json =>
            {
                json["model_type"] = "glm4v";
                json["quantization_config"] = Parse("""{"quant_method": "quark"}""");
                json["vision_config"] = new JsonObject();
            }
        );
        var error = (await Run.Of("model", "info", copy.Path)).Error;
        Assert.Contains("glm4v", error, StringComparison.Ordinal);
        Assert.Contains("quantised (quark)", error, StringComparison.Ordinal);
        Assert.Contains("vision_config", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_quantization_bit_of_zero_is_none()
    {
        using var copy = new ModelCopy("glm-tiny/model-chatglm");
        copy.Edit("config.json", json => json["quantization_bit"] = 0);
        Assert.Equal((0, ""), await CodeAndError("model", "info", copy.Path));
    }

    [Theory]
    [InlineData("", "base_model.model.", "")] // saved without PEFT
    [InlineData("module.base_model.model.", "base_model.model.", "")]
    [InlineData("base_model.model._orig_mod.", "base_model.model.", "")]
    [InlineData("_orig_mod.module.base_model.model.", "base_model.model.", "")]
    [InlineData("base_model.model._fsdp_wrapped_module.", "base_model.model.", "")]
    [InlineData("_checkpoint_wrapped_module.base_model.model.", "base_model.model.", "")]
    [InlineData("model.base_model.model.", "base_model.model.", "")]
    [InlineData("base_model.", "base_model.model.", "")]
    [InlineData("base_model.model.base_model.model.", "base_model.model.", "")]
    [InlineData("base_model.model.", "base_model.model.", null)]
    public async Task Adapter_tensors_that_differ_by_a_known_prefix_are_read(string prefix, string known, string? note)
    {
        using var copy = new ModelCopy("glm-tiny/adapter-lora");
        copy.Rename("adapter_model.safetensors", name => prefix + name[known.Length..]);
        var run = await Forward(copy);
        Assert.Equal(0, run.Code);
        using var original = new ModelCopy("glm-tiny/adapter-lora");
        Assert.Equal(0, (await Forward(original)).Code);
        Assert.Equal(File.ReadAllBytes(original.At("out.safetensors")), File.ReadAllBytes(copy.At("out.safetensors")));
        var info = await Run.Of("model", "info", copy.Path, "--base", GoldenData.Path("glm-tiny/model-hf"));
        Assert.Equal(0, info.Code);
        Assert.Equal(note is null, info.Error.Length == 0);
        if (note is not null)
        {
            Assert.Contains(" are read as 'base_model.model.", info.Error, StringComparison.Ordinal);
        }
    }

    public static TheoryData<string, Action<ModelCopy>> AdapterDamages =>
        new()
        {
            {
                "holds no tensor of a LoRA adapter: found 'encoder.",
                copy =>
                    copy.Rename(
                        "adapter_model.safetensors",
                        name => name.Replace("base_model.model.model.", "encoder.", StringComparison.Ordinal)
                    )
            },
            {
                "holds no tensors: the adapter was saved empty",
                copy => copy.EditHeader("adapter_model.safetensors", json => json.Clear())
            },
            {
                "adapter_model.bin: is a Python pickle",
                copy => File.Move(copy.At("adapter_model.safetensors"), copy.At("adapter_model.bin"))
            },
            {
                "contains no weights; expected adapter_model.safetensors. Is the download complete?",
                copy => File.Delete(copy.At("adapter_model.safetensors"))
            },
            {
                "adapter_model.safetensors: is a Git LFS pointer",
                copy => copy.Write("adapter_model.safetensors", "version https://git-lfs.github.com/spec/v1\nsize 9")
            },
            { "peft_type is 'LOHA'", copy => copy.Edit("adapter_config.json", json => json["peft_type"] = "LOHA") },
            {
                "the largest rank of its matrices is 4, but adapter_config.json names 1000000000",
                copy => copy.Edit("adapter_config.json", json => json["r"] = 1_000_000_000)
            },
        };

    [Theory]
    [MemberData(nameof(AdapterDamages), DisableDiscoveryEnumeration = true)]
    public async Task An_adapter_that_cannot_be_read_is_named_by_its_cause(string cause, Action<ModelCopy> damage)
    {
        using var copy = new ModelCopy("glm-tiny/adapter-lora");
        damage(copy);
        if (cause.Contains("saved empty", StringComparison.Ordinal))
        {
            var bytes = File.ReadAllBytes(copy.At("adapter_model.safetensors"));
            File.WriteAllBytes(copy.At("adapter_model.safetensors"), bytes[..10]);
        }

        var info = await Run.Of("model", "info", copy.Path, "--base", GoldenData.Path("glm-tiny/model-hf"));
        Assert.Equal(2, info.Code);
        Assert.Contains(cause, info.Error, StringComparison.Ordinal);
        var loading = await Forward(copy);
        Assert.Equal((2, info.Error), (loading.Code, loading.Error));
    }

    [Fact]
    public async Task No_codes_of_a_file_reach_the_terminal()
    {
        using var copy = new ModelCopy("glm-tiny/model-chatglm");
        copy.Rename(
            Weights,
            name =>
                name.Replace(
                    "transformer.output_layer",
                    "\u001b]0;owned\u0007\u001b[31m\u009b1m",
                    StringComparison.Ordinal
                )
        );
        var error = (await Run.Of("model", "info", copy.Path)).Error;
        Assert.Contains("\\u001b]0;owned\\u0007\\u001b[31m\\u009b1m", error, StringComparison.Ordinal);
        Assert.DoesNotContain(error, c => char.IsControl(c) && c is not ('\n' or '\r'));
        var recipe = copy.At("recipe.yaml");
        File.WriteAllText(recipe, "\"\\e[31mX\": 1\n");
        var train = await Run.Of("train", copy.Path, copy.Path, recipe);
        Assert.Equal(2, train.Code);
        Assert.DoesNotContain('\u001b', train.Error);
    }

    private static JsonNode Parse(string json) => JsonNode.Parse(json)!;

    private static async Task<(int, string)> CodeAndError(params string[] arguments)
    {
        var run = await Run.Of(arguments);
        return (run.Code, run.Error);
    }

    private static Task<Run> Forward(ModelCopy adapter) =>
        Run.Of(
            "forward",
            adapter.Path,
            "--base",
            GoldenData.Path("glm-tiny/model-hf"),
            "--input",
            GoldenData.Path("glm-tiny/batch.json"),
            "--output",
            adapter.At("out.safetensors"),
            "--device",
            "cpu"
        );
}
