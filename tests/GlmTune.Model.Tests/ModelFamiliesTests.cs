using System.Text.Json.Nodes;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

public sealed class ModelFamiliesTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-test-").FullName;

    static ModelFamiliesTests() => NativeRuntime.Load();

    [Theory]
    [
        InlineData("""{ "hidden_size": 8 }""", "'chatglm' or 'glm' or 'glm4'"),
        InlineData("""{ "model_type": 4 }""", "'chatglm' or 'glm' or 'glm4'"),
        InlineData("""{ "model_type": "llama" }""", "'llama'"),
        InlineData("""{ "model_type": "glm4v" }""", "'glm4v'"),
        InlineData("""[1]""", "found an array")
    ]
    public void A_configuration_of_no_family_is_refused_by_its_type(string json, string message)
    {
        File.WriteAllText(Path.Combine(folder, ModelConfig.FileName), json);
        var error = Assert.Throws<InvalidDataException>(() => ModelConfig.Read(folder));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.StartsWith(Path.Combine(folder, ModelConfig.FileName), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_that_is_wrong_with_a_configuration_is_said_at_once()
    {
        File.WriteAllText(
            Path.Combine(folder, ModelConfig.FileName),
            """{ "model_type": "glm", "hidden_size": 0, "hidden_act": "gelu" }"""
        );
        var error = Assert.Throws<InvalidDataException>(() => ModelConfig.Read(folder));
        Assert.All(
            (string[])["'hidden_act' is 'gelu'", "'hidden_size' is 0", "'num_hidden_layers' is missing"],
            problem => Assert.Contains(problem, error.Message, StringComparison.Ordinal)
        );
    }

    [Fact]
    public void No_two_families_claim_the_same_file_and_every_shape_makes_its_model()
    {
        Assert.All(
            ModelFamilies.All.SelectMany(family => family.ModelTypes.Select(type => (family, type))),
            pair =>
                Assert.Single(
                    ModelFamilies.All,
                    family =>
                        family.ModelTypes.Contains(pair.type)
                        && family.Fits?.Invoke(new JsonObject { ["model_type"] = pair.type }) != false
                )
        );
        foreach (var (name, shape) in ModelFamilies.All.SelectMany(family => family.Shapes))
        {
            Assert.Same(shape, ModelFamilies.Shape(name));
            Assert.StartsWith(shape.Title.ToLowerInvariant()[..5], name, StringComparison.Ordinal);
            using var model = shape.NewModel(ScalarType.BFloat16, CPU);
            Assert.Equal(shape.ParameterCount, model.Parameters.Sum(parameter => parameter.Count));
            Assert.Equal(shape.ParametersPerLayer, model.Layers[0].Parameters.Sum(parameter => parameter.Count));
        }

        Assert.Throws<ArgumentException>(() => ModelFamilies.Shape("glm-5"));
    }

    [Theory]
    [InlineData("glm-4-9b", CheckpointLayout.Original), InlineData("glm-4-9b", CheckpointLayout.Library)]
    [InlineData("chatglm3-6b", CheckpointLayout.Original), InlineData("chatglm3-6b", CheckpointLayout.Library)]
    [InlineData("glm-4-9b-0414", CheckpointLayout.Library), InlineData("glm-edge-1.5b", CheckpointLayout.Library)]
    public void A_configuration_that_is_written_reads_as_the_same_model(string name, CheckpointLayout layout)
    {
        var shape = ModelFamilies.Shape(name);
        ModelFolder.WriteConfig(shape, folder, layout, ScalarType.BFloat16);
        var read = ModelConfig.Read(folder);
        Assert.Equal(shape with { Layout = layout, Source = read.Source, EndTokenIds = read.EndTokenIds }, read);
        Assert.Equal(shape.EndTokenIds, read.EndTokenIds);
    }

    [Fact]
    public void ChatGLM3_is_read_as_it_is_published()
    {
        File.WriteAllText(
            Path.Combine(folder, ModelConfig.FileName),
            """
            {
              "_name_or_path": "THUDM/chatglm3-6b", "model_type": "chatglm", "architectures": ["ChatGLMModel"],
              "add_bias_linear": false, "add_qkv_bias": true, "apply_query_key_layer_scaling": true,
              "apply_residual_connection_post_layernorm": false, "attention_dropout": 0.0, "ffn_hidden_size": 13696,
              "fp32_residual_connection": false, "hidden_size": 4096, "kv_channels": 128, "layernorm_epsilon": 1e-05,
              "multi_query_attention": true, "multi_query_group_num": 2, "num_attention_heads": 32, "num_layers": 28,
              "original_rope": true, "padded_vocab_size": 65024, "post_layer_norm": true, "rmsnorm": true,
              "seq_length": 8192, "use_cache": true, "torch_dtype": "float16", "tie_word_embeddings": false,
              "eos_token_id": 2, "pad_token_id": 0
            }
            """
        );
        var read = ModelConfig.Read(folder);
        Assert.Equal(6_243_584_000, read.ParameterCount);
        var shape = ModelFamilies.Shape("chatglm3-6b");
        Assert.Equal(shape with { Source = read.Source, EndTokenIds = read.EndTokenIds }, read);
        Assert.Equal([2], read.EndTokenIds);
        Assert.Equal(2, read.ToJson(CheckpointLayout.Original, "float16")["eos_token_id"]!.GetValue<int>());
    }

    [Fact]
    public void GLM_4_32B_0414_is_read_from_its_own_sizes()
    {
        File.WriteAllText(
            Path.Combine(folder, ModelConfig.FileName),
            """
            {
              "model_type": "glm4", "num_hidden_layers": 61, "hidden_size": 6144, "intermediate_size": 23040,
              "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "attention_bias": false,
              "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "vocab_size": 151552,
              "max_position_embeddings": 32768, "tie_word_embeddings": false
            }
            """
        );
        Assert.Equal(33.142, ModelConfig.Read(folder).ParameterCount / 1e9, 0.0005);
    }

    [Theory, InlineData("glm-4-9b-0414"), InlineData("glm-edge-1.5b")]
    public void A_layout_that_an_architecture_has_not_is_refused(string name) =>
        Assert.Contains(
            "no original layout",
            Assert
                .Throws<InvalidDataException>(() =>
                    ModelFolder.WriteConfig(
                        ModelFamilies.Shape(name),
                        folder,
                        CheckpointLayout.Original,
                        ScalarType.BFloat16
                    )
                )
                .Message,
            StringComparison.Ordinal
        );

    public void Dispose() => Directory.Delete(folder, recursive: true);
}
