using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

public class SequenceLayoutTests
{
    static SequenceLayoutTests() => NativeRuntime.Load();

    [Fact]
    public void Indices_of_stored_sequences_get_new_values_in_the_place_where_captured_work_reads_them()
    {
        using var scope = NewDisposeScope();
        using var stored = SequenceLayout.OfStored(6, 3, tensor((int[])[0, 2, 6, 6]));
        stored.Update([0, 2, 6, 6]);
        var (pad, unpad) = (stored.PadIndex, stored.UnpadIndex);
        var (padPlace, unpadPlace) = (TensorAddress.Of(pad), TensorAddress.Of(unpad));
        stored.Update([0, 5, 6, 6]);
        Assert.Equal((padPlace, unpadPlace), (TensorAddress.Of(stored.PadIndex), TensorAddress.Of(stored.UnpadIndex)));
        Assert.Equal([0L, 1, 2, 3, 4, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], pad.data<long>().ToArray());
        Assert.Equal([0L, 1, 2, 3, 4, 6], unpad.data<long>().ToArray());
    }
}
