using GlmTune.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

public sealed class StoredModelTests
{
    // In the library's layout, rows of the fused projection are in three tensors.
    [Theory]
    [InlineData("model-hf"), InlineData("model-chatglm")]
    public void Any_rows_of_a_parameter_are_those_of_the_loaded_model(string layout)
    {
        var folder = GoldenData.Path($"glm-tiny/{layout}");
        using var scope = NewDisposeScope();
        using var loaded = ModelFolder.Load(folder, ScalarType.Float32, CPU);
        using var stored = StoredModel.Open(folder);
        foreach (var (expected, parameter) in loaded.BaseParameters.Zip(stored.Model.BaseParameters))
        {
            var rows = parameter.Shape[0];
            foreach (var (first, count) in ((long, long)[])[(0, rows), (rows / 3, rows / 2), (rows - 1, 1)])
            {
                var piece = zeros([count, .. parameter.Shape[1..]], ScalarType.Float32, CPU);
                stored.ReadRows(parameter, first, piece);
                Assert.True(piece.equal(expected.Value.narrow(0, first, count)).all().item<bool>(), parameter.Name);
            }

            Assert.False(parameter.IsLoaded);
            stored.Load(parameter);
            Assert.True(parameter.Value.equal(expected.Value).all().item<bool>(), parameter.Name);
        }
    }
}
