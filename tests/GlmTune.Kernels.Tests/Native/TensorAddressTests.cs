using GlmTune.Kernels.Native;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Native;

public class TensorAddressTests
{
    public TensorAddressTests() => NativeRuntime.Load();

    [Fact]
    public void A_view_starts_where_its_elements_do()
    {
        using var scope = NewDisposeScope();
        var rows = zeros(4, 3, ScalarType.Float64);
        Assert.Equal(TensorAddress.Of(rows) + (2 * 3 * 8), TensorAddress.Of(rows[2]));
        Assert.Equal(0, TensorAddress.Of(empty(0)));
    }

    [Fact]
    public void Tensors_overlap_where_they_share_bytes()
    {
        using var scope = NewDisposeScope();
        var all = zeros(12, ScalarType.Int32);
        Assert.True(TensorAddress.Overlap(all.narrow(0, 0, 6), all.narrow(0, 5, 7)));
        Assert.False(TensorAddress.Overlap(all.narrow(0, 0, 6), all.narrow(0, 6, 6)));
        Assert.False(TensorAddress.Overlap(all, zeros(12, ScalarType.Int32)));
    }

    [Theory]
    [InlineData(ScalarType.Float64)]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    [InlineData(ScalarType.Int64)]
    [InlineData(ScalarType.Int32)]
    [InlineData(ScalarType.Byte)]
    public void The_size_of_a_type_is_that_of_its_tensors(ScalarType type)
    {
        using var tensor = empty(5, type);
        Assert.Equal(tensor.element_size(), type.ElementSize());
        Assert.Equal(5 * type.ElementSize(), TensorAddress.BytesOf(tensor));
    }
}
