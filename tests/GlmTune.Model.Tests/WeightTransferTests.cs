using GlmTune.Kernels.Native;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>Weights arrive whole at their places, whatever their number, and a file that ends early is named.</summary>
public sealed class WeightTransferTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-transfer").FullName;

    public WeightTransferTests() => NativeRuntime.Load();

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Every_byte_reaches_its_place_in_pieces() => Check(CPU);

    [Fact]
    public void Every_byte_reaches_its_place_on_a_GPU()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        Check(device);
    }

    [Fact]
    public void A_file_that_has_become_shorter_is_named()
    {
        using var scope = NewDisposeScope();
        var path = Write();
        using var files = WeightFiles.Open(path);
        var stored = files["large"];
        using (var file = File.Open(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete))
        {
            file.SetLength(stored.Offset + 100);
        }

        using var transfer = new WeightTransfer(CPU);
        var error = Assert.Throws<InvalidDataException>(() =>
            transfer.Run([(stored, empty(stored.Shape, ScalarType.Float32, CPU))])
        );
        Assert.Contains("'large' ends early", error.Message, StringComparison.Ordinal);
    }

    private void Check(Device device)
    {
        using var scope = NewDisposeScope();
        using var files = WeightFiles.Open(Write());
        var moves = files.Tensors.Select(stored => (stored, zeros(stored.Shape, ScalarType.Float32, device))).ToList();
        Assert.All(moves, move => Assert.True(WeightTransfer.Fits(move.stored, move.Item2)));
        using var transfer = new WeightTransfer(device);
        transfer.Run(moves);
        foreach (var (stored, target) in moves)
        {
            Assert.True(StoredTensors.Read(stored).equal(target.cpu()).all().item<bool>(), stored.Name);
        }

        Assert.False(WeightTransfer.Fits(files["large"], zeros(files["large"].Shape, ScalarType.BFloat16, device)));
    }

    // One tensor of two pieces and a bit, and some small ones.
    private string Write()
    {
        var path = Path.Combine(folder, "adapter_model.safetensors");
        (string Name, long[] Shape)[] shapes = [("large", [2100, 4099]), ("a", [3, 5]), ("b", [1]), ("c", [70, 1000])];
        using var writer = new SafetensorsWriter(
            path,
            [.. shapes.Select(shape => StoredTensors.Spec(shape.Name, ScalarType.Float32, shape.Shape))]
        );
        foreach (var (name, shape) in shapes)
        {
            using var value = rand(shape);
            StoredTensors.WithBytes(value, ScalarType.Float32, (address, bytes) => writer.Write(name, address, bytes));
        }

        writer.Complete();
        return path;
    }
}
