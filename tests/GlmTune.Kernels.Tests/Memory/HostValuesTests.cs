using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Numbers of the host reach the device as they are, also while earlier ones are still on their way.</summary>
public class HostValuesTests
{
    public HostValuesTests() => NativeRuntime.Load();

    [Fact]
    public void Values_of_every_type_arrive() => Check(CPU);

    [Fact]
    public void Values_of_every_type_arrive_on_a_GPU()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        Check(device);
    }

    [Fact]
    public void Other_types_are_refused() =>
        Assert.Throws<ArgumentException>(() => HostValues.ToDevice(new[] { 'a' }, CPU));

    [Fact]
    public void Staged_parts_keep_their_places_and_change_with_each_sending() => CheckStaged(CPU);

    [Fact]
    public void Staged_parts_change_with_each_sending_on_a_GPU()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        CheckStaged(device);
    }

    private static void Check(Device device)
    {
        using var scope = NewDisposeScope();
        // More than there are blocks of page-locked memory, and one that is larger than a block.
        var sent = Enumerable
            .Range(0, 20)
            .Select(i =>
                HostValues.ToDevice(Enumerable.Range(i, 1000 + i).Select(value => (long)value).ToArray(), device)
            )
            .ToList();
        for (var i = 0; i < sent.Count; i++)
        {
            Assert.Equal(
                Enumerable.Range(i, 1000 + i).Select(value => (long)value),
                sent[i].cpu().data<long>().ToArray()
            );
        }

        var large = HostValues.ToDevice(Enumerable.Range(0, 300_000).ToArray(), device);
        Assert.Equal((299_999, ScalarType.Int32), (large[299_999].item<int>(), large.dtype));
        Assert.Equal([0.5, -2], HostValues.ToDevice(new[] { 0.5, -2 }, device).cpu().data<double>().ToArray());
        Assert.Equal([0.25f], HostValues.ToDevice(new[] { 0.25f }, device).cpu().data<float>().ToArray());
        Assert.Equal(0, HostValues.ToDevice(Array.Empty<int>(), device).numel());
    }

    private static void CheckStaged(Device device)
    {
        using var scope = NewDisposeScope();
        using var staged = new StagedTensors(
            device,
            (ScalarType.Int64, 3),
            (ScalarType.Float32, 1),
            (ScalarType.Int32, 70)
        );
        var seen = new List<Tensor>();
        for (var round = 0; round < 5; round++)
        {
            staged.Begin();
            staged.Host<long>(0).Fill(round);
            staged.Host<float>(1)[0] = round + 0.5f;
            staged.Host<int>(2).Fill(-round);
            staged.Send();
            seen.Add(cat([staged[0].to_type(ScalarType.Float32), staged[1], staged[2].to_type(ScalarType.Float32)]));
        }

        for (var round = 0; round < seen.Count; round++)
        {
            var values = seen[round].cpu().data<float>().ToArray();
            Assert.Equal(74, values.Length);
            Assert.Equal([round, round, round, round + 0.5f, -round], values[..5]);
            Assert.Equal(-round, values[^1]);
        }
    }
}
