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
            using var model = shape.NewModel(ScalarType.BFloat16, CPU);
            Assert.Equal(shape.ParameterCount, model.Parameters.Sum(parameter => parameter.Count));
            Assert.Equal(shape.ParametersPerLayer, model.Layers[0].Parameters.Sum(parameter => parameter.Count));
        }

        Assert.Throws<ArgumentException>(() => ModelFamilies.Shape("glm-5"));
    }

    [Theory]
    [InlineData("glm-4-9b", CheckpointLayout.Original), InlineData("glm-4-9b", CheckpointLayout.Library)]
    [InlineData("glm-4-9b-0414", CheckpointLayout.Library), InlineData("glm-edge-1.5b", CheckpointLayout.Library)]
    public void A_configuration_that_is_written_reads_as_the_same_model(string name, CheckpointLayout layout)
    {
        var shape = ModelFamilies.Shape(name);
        ModelFolder.WriteConfig(shape, folder, layout, ScalarType.BFloat16);
        var read = ModelConfig.Read(folder);
        Assert.Equal(shape with { Layout = layout, Source = read.Source, EndTokenIds = read.EndTokenIds }, read);
        Assert.Equal(shape.EndTokenIds, read.EndTokenIds);
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
